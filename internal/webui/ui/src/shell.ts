// Commands to take along.

/** Quotes for a shell where that is needed. */
const quoted = (s: string): string => (/^[\w.:/@%+=,-]+$/.test(s) ? s : `'${s.replaceAll("'", "'\\''")}'`);

/** The command that makes a host one of ours. */
export const installCommand = (server: string, pin: string | undefined): string =>
  ["sudo sentinel-agent install --server", quoted(server), ...(pin ? ["--ca-pin", quoted(pin)] : []), "--enrolment-token-file enrolment.token"].join(" ");
