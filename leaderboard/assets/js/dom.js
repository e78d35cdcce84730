// Elements from plain values. Text is only ever set as text: nothing a model or a person wrote becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (value === null || value === undefined || value === false) continue;
		if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
		else node.setAttribute(name, value === true ? "" : value);
	}
	for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) node.append(child);
	return node;
}

// h("button", {class: "plain", onclick: act}, "Text")
export function h(tag, attributes, ...children) {
	return fill(document.createElement(tag), attributes, children);
}

// The same for SVG.
export function s(tag, attributes, ...children) {
	return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Characters that reorder or hide text are written out, as the server does.
const DECEPTIVE =
	/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u200b\u2028\u2029\u2060\ufeff]/g;
export function visible(text) {
	return text.replace(DECEPTIVE, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

// A name that somebody chose: shown as written, isolated from the text around it, never translated.
export function name(text) {
	return h("bdi", { translate: "no" }, visible(text));
}

export function debounced(act, wait) {
	let timer = 0;
	return (...values) => {
		clearTimeout(timer);
		timer = setTimeout(() => act(...values), wait);
	};
}

export function save(blob, filename) {
	const link = h("a", { href: URL.createObjectURL(blob), download: filename });
	document.body.append(link);
	link.click();
	link.remove();
	setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
