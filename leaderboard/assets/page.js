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

// One part of the page came alone: it replaces the element of its name, and its list marks another row.
function showPart(part) {
	const shown = root.querySelector(`[data-key="${CSS.escape(part.dataset.part)}"]`);
	if (!shown) return;
	patchChildren(shown, part);
	for (const row of root.querySelectorAll("tr[aria-current]")) row.removeAttribute("aria-current");
	const current = part.dataset.current;
	if (current) root.querySelector(`tr[data-key="${CSS.escape(current)}"]`)?.setAttribute("aria-current", "true");
}

function show() {
	const wanted = document.createElement("div");
	wanted.innerHTML = props.value ?? "";
	const about = wanted.querySelector("[data-about]")?.dataset.about;
	const asked = document.querySelector("#submit-model input, #submit-model textarea")?.value.trim();
	if (about !== undefined && asked !== undefined && about !== asked) return; // somebody typed on meanwhile
	const part = wanted.querySelector(":scope > [data-part]");
	if (part) return showPart(part);
	patchChildren(root, wanted);
	const address = root.querySelector("[data-address]")?.dataset.address;
	if (address) history.replaceState(null, "", address);
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
	trigger("open", { query, seen: root.querySelector(".list[data-key]")?.dataset.key ?? "" });
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

function reveal(selector) {
	const target = root.querySelector(selector);
	if (!target) return;
	for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
	target.tabIndex = -1;
	target.focus({ preventScroll: true });
	target.scrollIntoView({ block: "center" });
}

// Single keys follow the links that name them, unless somebody is typing.
function pressed(event) {
	if (event.metaKey || event.ctrlKey || event.altKey || event.shiftKey || event.repeat) return;
	if (event.target.closest("input, textarea, select, [contenteditable], dialog")) return;
	const { key } = event;
	const fold = key === "h" && root.querySelector("details[data-thought]");
	if (fold) fold.open = !fold.open;
	const named = /^[a-z]$/.test(key) && root.querySelector(`[data-press="${key}"]`);
	if (named) named.click();
	if (fold || named) event.preventDefault();
}
if (element.closest(".opens-in-place")) {
	const heard = (event) => (root.isConnected ? pressed(event) : document.removeEventListener("keydown", heard));
	document.addEventListener("keydown", heard);
}

root.addEventListener("click", (event) => {
	const revealing = event.target.closest("[data-reveal]");
	if (revealing) return reveal(revealing.dataset.reveal);
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
