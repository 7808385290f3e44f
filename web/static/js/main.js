// What every page does: it keeps itself up to date, and what is pressed is asked of the API.
import "./live.js";
import "./times.js";
import "./actions.js";
