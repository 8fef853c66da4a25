// Values as people read them.

export type Unit = "percent" | "bytes" | "bytes/s" | "number";

const binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const decimal = ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"];

/** Three digits that matter, no more. */
function digits(v: number): string {
  const a = Math.abs(v);
  return v.toFixed(a >= 100 || v === 0 ? 0 : a >= 10 ? 1 : 2);
}

function scaled(v: number, base: number, units: string[], places: (v: number) => string): string {
  let i = 0;
  let x = v;
  for (; Math.abs(x) >= base && i < units.length - 1; i++) x /= base;
  return `${i === 0 ? String(Math.round(x)) : places(x)} ${units[i]}`;
}

export function value(v: number | null | undefined, unit: Unit): string {
  if (v === null || v === undefined || Number.isNaN(v)) return "–";
  switch (unit) {
    case "percent":
      return `${v >= 99.95 ? "100" : v.toFixed(1)} %`;
    case "bytes":
      return scaled(v, 1024, binary, digits);
    case "bytes/s":
      return scaled(v, 1000, decimal, digits);
  }
  return number(v);
}

/** Labels of an axis: no digits that the ticks do not need. */
export function tick(v: number, unit: Unit): string {
  const short = (x: number) => String(+x.toFixed(2));
  switch (unit) {
    case "percent":
      return `${short(v)} %`;
    case "bytes":
      return scaled(v, 1024, binary, short);
    case "bytes/s":
      return v === 0 ? "0" : scaled(v, 1000, decimal, short);
  }
  return short(v);
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function number(v: number): string {
  const a = Math.abs(v);
  if (Number.isInteger(v) || a >= 1000) return a >= 1e15 ? v.toExponential(3) : grouped.format(v);
  if (a !== 0 && a < 0.001) return v.toExponential(2);
  return String(+v.toFixed(a >= 100 ? 1 : a >= 1 ? 2 : 4));
}

/** A sample's value by the unit that its series has. */
export function sample(v: number, unit: string): string {
  if (unit === "bytes") return value(v, "bytes");
  if (unit === "percent") return value(v, "percent");
  return number(v) + (unit === "seconds" ? " s" : unit ? " " + unit : "");
}

export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  const d = Math.floor(h / 24);
  return h % 24 && d < 10 ? `${d} d ${h % 24} h` : `${d} d`;
}

export function ago(then: number, now: number): string {
  const s = (now - then) / 1000;
  return s < 5 ? "just now" : `${duration(s)} ago`;
}

const two = (n: number) => String(n).padStart(2, "0");

/** The time of day, here; t in seconds since 1970. */
export function clock(t: number, withSeconds: boolean): string {
  const d = new Date(t * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}${withSeconds ? ":" + two(d.getSeconds()) : ""}`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The date and time of day, here, without what is the same today; both in seconds
 * since 1970. */
export function moment(t: number, now: number): string {
  const d = new Date(t * 1000);
  const today = new Date(now * 1000);
  const day = `${d.getDate()} ${months[d.getMonth()]}`;
  if (d.getFullYear() !== today.getFullYear()) return `${day} ${d.getFullYear()}, ${clock(t, false)}`;
  return d.toDateString() === today.toDateString() ? clock(t, true) : `${day}, ${clock(t, false)}`;
}

/** How long until a time, in one unit. */
export const until = (then: number, now: number): string => (then <= now ? "over" : `in ${duration((then - now) / 1000)}`);

export const plural = (n: number, one: string, many: string): string => `${grouped.format(n)} ${n === 1 ? one : many}`;
