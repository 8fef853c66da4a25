// Runs before anything is drawn: the token leaves the address bar at once, and the
// page never flashes in the other theme.
import { applyTheme, chosenTheme, takeTokenFromAddress } from "./session";

takeTokenFromAddress();
applyTheme(chosenTheme());
