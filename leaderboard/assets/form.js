// Asks for the checks of a form when somebody stopped typing in it, after page.js. The answer to an older text is left
// aside: `about` of page.js tells which model the form names now.

const STOPPED_TYPING_MS = 400;
let waiting = null;

function typed(event) {
	if (!root.isConnected) return document.removeEventListener("input", typed, true);
	if (!event.target.closest?.(".form-page")) return;
	clearTimeout(waiting);
	waiting = setTimeout(() => trigger("typed", {}), STOPPED_TYPING_MS);
}
document.addEventListener("input", typed, true);
document.addEventListener("change", typed, true);
