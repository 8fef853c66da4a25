// All that lazy.tsx offers.
export { Account } from "./account";
export { AddHosts } from "./addhosts";
export { Admin } from "./admin";
export { HostBooks } from "./books";
export { HostManage } from "./manage";
export { SetUp } from "./setup";
export { who } from "./who";
