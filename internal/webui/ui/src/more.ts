// All that lazy.tsx offers.
export { Account } from "./account";
export { AddHosts } from "./addhosts";
export { Admin } from "./admin";
export { AlertPage } from "./incident";
export { Alerts } from "./alerts";
export { Changed } from "./changed";
export { Explore } from "./explore";
export { HostAlerts, HostNews } from "./hostnews";
export { HostBooks } from "./books";
export { HostManage } from "./manage";
export { Palette } from "./palette";
export { Receivers } from "./receivers";
export { NewRule, RulePage } from "./rule";
export { Rules } from "./rules";
export { SetUp } from "./setup";
export { Silences } from "./silences";
export { who } from "./who";
