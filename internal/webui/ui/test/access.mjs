// Coming in: the first user, passwords, sessions that end, one's own password.
import { check, desk, holds, rest, sees, server, shot, tab, usable } from "./harness.mjs";

export const people = { ann: "correct horse battery" };

const meant = (t) => /40[13]|422|429|request failed|Failed to load resource/.test(t);

export async function signIn(page, user, password = people[user]) {
  await page.goto(`${server.url}/`);
  await page.waitForSelector("input[name=user]");
  await page.fill("input[name=user]", user);
  await page.fill("input[name=password]", password);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".hosts");
}

/** Makes ann, an administrator, where a part runs alone. */
export async function haveAnn() {
  const { users } = await rest("GET", "/users");
  if (!users.some((u) => u.name === "ann")) await rest("POST", "/users", { name: "ann", role: "admin", password: people.ann });
}

const fields = "form.card .field input";

export async function access() {
  const page = await tab(desk, meant);
  await page.goto(`${server.url}/setup#token=${server.setup}`);
  await sees(page, fields, "the setup link opens the form");
  check("the setup token leaves the address", !page.url().includes("#"));
  check("and signs nobody in", await page.evaluate(() => sessionStorage.getItem("sentinel.token") === null));
  const [user, password, again] = await page.locator(fields).all();
  await user.fill("Ann");
  await password.fill("short");
  await sees(page, ".strength.s1", "a short password is said to be short");
  await again.fill("other");
  await sees(page, ".help.wrong", "two different passwords are said to be");
  await again.fill("short");
  await page.keyboard.press("Enter");
  await holds("the server's words about a short password are shown", async () => (await page.textContent("form")).includes("at least 12 characters, any you like"));
  await usable(page, "the setup page with an error");
  await shot(page, "setup-error");
  await password.fill(people.ann);
  await again.fill(people.ann);
  await sees(page, ".strength.s3", "a long one to be strong");
  await page.keyboard.press("Enter");
  await sees(page, ".hosts .pill.up", "setting up signs in and shows the fleet");
  check("who one is stands in the header", (await page.textContent(".bar")).includes("ann"));
  const kept = () => page.evaluate(() => ({ cookie: document.cookie, tab: JSON.stringify(sessionStorage), all: JSON.stringify(localStorage) }));
  check("no script can read the session, and no secret is kept", await kept().then((k) => !k.cookie && k.tab === "{}" && !k.all.includes("sntl") && !k.all.includes(people.ann)));
  const cookie = (await page.context().cookies()).find((c) => c.name === "__Host-sentinel");
  check("the cookie is HttpOnly, Secure and SameSite=Strict", cookie?.httpOnly && cookie.secure && cookie.sameSite === "Strict");
  await page.reload();
  await sees(page, ".hosts .pill.up", "a reload stays signed in");
  const second = await page.context().newPage();
  await second.goto(`${server.url}/account`);
  await sees(second, ".duties .tag", "another tab is signed in too, and says what one may");

  await page.goto(`${server.url}/setup#token=${server.setup}`);
  for (const [i, text] of ["eve", people.ann, people.ann].entries()) await page.locator(fields).nth(i).fill(text);
  await page.keyboard.press("Enter");
  await holds("a spent setup token is said to be", async () => (await page.textContent("form")).includes("not valid (any more)"));
  await shot(page, "setup-spent");

  await page.goto(`${server.url}/`);
  await page.click("text=Sign out");
  await sees(page, "input[name=user]", "signing out leads to the sign-in page");
  await sees(second, "input[name=user]", "in every tab");
  await second.close();
  check("and removes the cookie", !(await page.context().cookies()).length);
  await page.fill("input[name=user]", "ann");
  await page.fill("input[name=password]", "not this one at all");
  await page.keyboard.press("Enter");
  await sees(page, ".notice.bad", "a wrong password is refused with a sentence");
  check("and asked for again", (await page.inputValue("input[name=password]")) === "");
  await usable(page, "the sign-in page with an error");
  await shot(page, "signin-refused");
  await page.fill("input[name=password]", people.ann);
  await page.keyboard.press("Enter");
  await sees(page, ".hosts .pill.up", "the right one signs in");

  // A session that ends elsewhere: back to where one was.
  await page.goto(`${server.url}/admin/users`);
  await sees(page, ".list tbody tr", "the list of users");
  people.ann = "another horse battery";
  await rest("PATCH", "/users/ann", { password: people.ann });
  await sees(page, "input[name=user]", "a session that was ended leads to the sign-in page");
  check("which says so", (await page.textContent(".notice.warn")).includes("session has ended"));
  check("and keeps the address", page.url() === `${server.url}/admin/users`);
  await shot(page, "signin-ended");
  await page.fill("input[name=user]", "ann");
  await page.fill("input[name=password]", people.ann);
  await page.keyboard.press("Enter");
  await sees(page, ".list tbody tr", "signing in again goes on where one was");

  // A server that is down when the page is opened.
  await page.route("**/api/v1/session", (r) => r.abort());
  await page.reload();
  await sees(page, ".notice.bad", "without a server it is said that it does not answer");
  await shot(page, "session-down");
  await page.unroute("**/api/v1/session");
  await page.click("text=Try again");
  await sees(page, ".list tbody tr", "and trying again goes on where one was");

  const other = await tab(desk, meant);
  await signIn(other, "ann");
  await page.goto(`${server.url}/account`);
  const pw = page.locator("section[aria-labelledby=pw] .field input");
  await pw.nth(0).fill("not the old one");
  await pw.nth(1).fill("a new horse battery");
  await pw.nth(2).fill("a new horse battery");
  await page.keyboard.press("Enter");
  await sees(page, ".help.wrong", "a wrong old password is said beside it");
  await pw.nth(0).fill(people.ann);
  people.ann = "a new horse battery";
  await page.keyboard.press("Enter");
  await sees(page, ".notice.good", "the password is changed, and one stays signed in");
  await usable(page, "the account");
  await shot(page, "account-changed");
  await sees(other, "input[name=user]", "while the other session has ended");
  await other.context().close();
  await page.context().close();
}
