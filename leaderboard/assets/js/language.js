// English is what the pages are written in; Chinese is put in its place from one dictionary, piece of text by piece of
// text, wherever a text appears: in our markup, in Gradio's and in what scripts draw. Numbers in a text are its gaps:
// "# of # models" stands for every such text. Names, code and completions are never touched.

const DICTIONARIES = ["zh.json", "zh_results.json"];
const STORED = "open-r1-language";
const KEPT = '[translate="no"], bdi, code, pre, script, style, textarea, math';
const ATTRIBUTES = ["title", "placeholder", "aria-label", "alt"];
const NUMBER = /\d+(?:[.,]\d+)*/g;

export function remember(key, value) {
	try {
		if (value !== undefined) localStorage.setItem(key, value);
		return localStorage.getItem(key);
	} catch {
		return null; // no storage: the choice lasts for this page only
	}
}

const asked = new URLSearchParams(location.search).get("lang");
export const language = asked ?? remember(STORED) ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

export function setLanguage(wanted) {
	remember(STORED, wanted);
	const here = new URL(location.href);
	here.searchParams.delete("lang");
	if (here.href === location.href) location.reload();
	else location.replace(here);
}

// The text in Chinese, or null where the dictionary does not have it. Of a list ("a; b") and of a text with a count
// ("a (3)") the parts are looked up.
export function translated(text, dictionary) {
	const trimmed = text.trim();
	if (!trimmed) return null;
	const filled = whole(trimmed, dictionary) ?? inParts(trimmed, dictionary);
	return filled === null ? null : text.replace(trimmed, () => filled);
}

function whole(text, dictionary) {
	const numbers = text.match(NUMBER) ?? [];
	const found = dictionary[text] ?? dictionary[text.replace(NUMBER, "#")];
	if (found === undefined) return null;
	let next = 0;
	return found.replace(/#(\d)?/g, (_, place) => numbers[place ? place - 1 : next++] ?? "");
}

function inParts(text, dictionary) {
	const counted = text.match(/^(.+) (\([\d,]+\))$/);
	if (counted) {
		const named = translated(counted[1], dictionary);
		return named === null ? null : `${named} ${counted[2]}`;
	}
	if (!text.includes("; ")) return null;
	const parts = text.split("; ");
	const found = parts.map((part) => whole(part, dictionary));
	return found.every((part) => part === null) ? null : found.map((part, i) => part ?? parts[i]).join(";");
}

export async function startTranslating() {
	if (language !== "zh") return;
	const files = DICTIONARIES.map((name) => fetch(new URL(`../${name}`, import.meta.url)));
	const parts = await Promise.all(files.map(async (file) => (await file).json()));
	const dictionary = Object.assign({}, ...parts);
	const text = (node) => {
		const chinese = node.parentElement?.closest(KEPT) ? null : translated(node.data, dictionary);
		if (chinese !== null && chinese !== node.data) node.data = chinese;
	};
	const attributes = (element) => {
		if (element.closest(KEPT)) return;
		for (const name of ATTRIBUTES) {
			const value = element.getAttribute(name);
			const chinese = value && translated(value, dictionary);
			if (chinese && chinese !== value) element.setAttribute(name, chinese);
		}
	};
	watch((node) => {
		if (node.nodeType === Node.TEXT_NODE) text(node);
		if (node.nodeType !== Node.ELEMENT_NODE) return;
		attributes(node);
		for (const element of node.querySelectorAll("[title], [placeholder], [aria-label], [alt]")) attributes(element);
		const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
		while (texts.nextNode()) text(texts.currentNode);
	}, ATTRIBUTES);
}

// Every <time> in the reader's zone; the time in UTC stays in its title.
export function localTimes() {
	const two = (value) => String(value).padStart(2, "0");
	const show = (element) => {
		const when = new Date(element.dateTime);
		if (Number.isNaN(when.getTime()) || element.dateTime.length <= 10) return;
		const day = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
		const local = element.textContent.length <= 10 ? day : `${day} ${two(when.getHours())}:${two(when.getMinutes())}`;
		if (element.textContent === local) return;
		element.title = `${element.dateTime.slice(0, 16).replace("T", " ")} UTC`;
		element.translate = false;
		element.textContent = local;
	};
	watch((node) => {
		const element = node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement;
		const own = element?.closest("time");
		if (own) show(own);
		else if (node.nodeType === Node.ELEMENT_NODE) node.querySelectorAll("time").forEach(show);
	});
}

// Do something with all there is, and with whatever comes or changes. Runs before anything is painted.
function watch(act, attributeFilter) {
	new MutationObserver((changes) => {
		for (const change of changes) {
			if (change.type === "childList") change.addedNodes.forEach(act);
			else act(change.target);
		}
	}).observe(document.body, {
		childList: true,
		subtree: true,
		characterData: true,
		...(attributeFilter ? { attributes: true, attributeFilter } : {}),
	});
	act(document.body);
}
