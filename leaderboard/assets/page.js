// Shows the HTML that the server sends and changes only what differs, so that open folds, focus and scroll position
// survive an update. Gradio calls this once per component with: element, props, trigger, watch.
// The server's HTML is escaped already; text taken from attributes is only ever set as text.

const root = document.createElement("div");
root.className = "board";
element.replaceChildren(root);

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

function patch(shown, wanted) {
	if (shown.nodeType !== wanted.nodeType || shown.nodeName !== wanted.nodeName) {
		shown.replaceWith(wanted);
	} else if (shown.nodeType === Node.TEXT_NODE) {
		if (shown.data !== wanted.data) shown.data = wanted.data;
	} else if (shown.nodeType === Node.ELEMENT_NODE) {
		patchAttributes(shown, wanted);
		patchChildren(shown, wanted);
	}
}

function patchAttributes(shown, wanted) {
	const isFold = shown.nodeName === "DETAILS"; // whether a fold is open is the reader's choice
	for (const { name } of [...shown.attributes]) {
		if (!wanted.hasAttribute(name) && !(isFold && name === "open")) shown.removeAttribute(name);
	}
	for (const { name, value } of wanted.attributes) {
		if (shown.getAttribute(name) !== value && !(isFold && name === "open")) shown.setAttribute(name, value);
	}
}

function patchChildren(shown, wanted) {
	const keyed = new Map();
	for (const child of shown.children) if (keyOf(child)) keyed.set(keyOf(child), child);
	let cursor = shown.firstChild;
	for (const next of [...wanted.childNodes]) {
		const key = keyOf(next);
		const match = key ? keyed.get(key) : cursor && !keyOf(cursor) ? cursor : null;
		if (!match) {
			shown.insertBefore(next, cursor);
			continue;
		}
		if (match === cursor) cursor = cursor.nextSibling;
		else shown.insertBefore(match, cursor);
		patch(match, next);
	}
	while (cursor) {
		const gone = cursor;
		cursor = cursor.nextSibling;
		gone.remove();
	}
}

function show() {
	const wanted = document.createElement("div");
	wanted.innerHTML = props.value ?? "";
	patchChildren(root, wanted);
	const titled = root.querySelector("[data-title-of-page]");
	if (titled) document.title = titled.getAttribute("data-title-of-page");
}

let scrolled = false;
function scrollOnce() {
	const target = root.querySelector("[data-scroll-here]");
	if (!target || scrolled) return;
	scrolled = true;
	target.scrollIntoView({ block: "center" });
}

let opening = false;
function open(query) {
	opening = scrolled = true;
	trigger("open", { query });
}

function focusOpened() {
	if (!opening) return;
	opening = false;
	root.querySelector("[data-focus-here]")?.focus();
}

function revealCurrentRow() {
	const row = root.querySelector(".list [aria-current]");
	const list = row?.closest(".list");
	if (!list) return;
	const [place, frame] = [row.getBoundingClientRect(), list.getBoundingClientRect()];
	if (place.top < frame.top || place.bottom > frame.bottom) list.scrollTop += place.top - frame.top - frame.height / 2;
}

function confirmed(button, act) {
	if (!button.dataset.confirm) return act();
	const dialog = document.createElement("dialog");
	dialog.className = "board confirm";
	dialog.setAttribute("aria-labelledby", "confirm-title");
	dialog.innerHTML =
		'<h2 id="confirm-title"></h2><p></p><form method="dialog" class="buttons">' +
		'<button class="plain" value="keep" autofocus>Keep it running</button>' +
		'<button class="plain danger" value="go"></button></form>';
	dialog.querySelector("h2").textContent = button.dataset.title;
	dialog.querySelector("p").textContent = button.dataset.confirm;
	dialog.querySelector("[value=go]").textContent = button.dataset.go;
	dialog.addEventListener("close", () => {
		dialog.remove();
		if (dialog.returnValue === "go") act();
	});
	element.append(dialog);
	dialog.showModal();
}

root.addEventListener("click", (event) => {
	const button = event.target.closest("button[data-action]");
	if (button) {
		const { action, job } = button.dataset;
		confirmed(button, () => trigger("act", { action, job }));
		return;
	}
	const link = event.target.closest("a[data-open]");
	if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
	event.preventDefault();
	history.pushState(null, "", link.href);
	open(new URL(link.href).search);
});

if (element.closest(".opens-in-place")) addEventListener("popstate", () => open(location.search));

watch("value", () => {
	show();
	scrollOnce();
	focusOpened();
	revealCurrentRow();
});
show();
