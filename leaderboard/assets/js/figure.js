// A chart with all that belongs to it: its question, the same numbers as a table, and files to keep.

import { h, save } from "./dom.js";

const KEPT_STYLES = [
	"fill",
	"fill-opacity",
	"stroke",
	"stroke-width",
	"stroke-dasharray",
	"stroke-linecap",
	"stroke-linejoin",
	"opacity",
	"font-size",
	"font-weight",
	"font-family",
];

// `table`: {head: [...], rows: [[...]]} with plain values, which are also the CSV.
export function figure({ id, title, lead, controls, svg, legend, table, nothing }) {
	const body = nothing
		? [h("p", { class: "empty" }, nothing)]
		: [
				h("div", { class: "drawing" }, svg),
				legend,
				h("div", { class: "keep" }, h("span", { class: "quiet" }, "Download"), ...buttons(id, svg, table)),
				tableFold(title, table),
			];
	return h(
		"figure",
		{ class: "chart", id },
		h("figcaption", {}, h("h2", {}, title), h("p", { class: "lead" }, lead)),
		controls,
		body,
	);
}

function buttons(id, svg, table) {
	const button = (text, act) => h("button", { type: "button", class: "plain", onclick: act }, text);
	return [
		button("PNG", async () => save(await png(svg), `${id}.png`)),
		button("SVG", () => save(new Blob([standalone(svg)], { type: "image/svg+xml" }), `${id}.svg`)),
		button("CSV", () => save(new Blob([csv(table)], { type: "text/csv" }), `${id}.csv`)),
	];
}

function tableFold(title, { head, rows }) {
	const fold = h("details", { class: "numbers" }, h("summary", {}, "The numbers as a table"));
	fold.addEventListener("toggle", () => {
		if (!fold.open || fold.querySelector("table")) return;
		fold.append(
			h(
				"div",
				{ class: "wide-table", tabindex: 0, role: "group", "aria-label": title },
				h(
					"table",
					{},
					h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
					h(
						"tbody",
						{},
						rows.slice(0, 500).map((row) => h(
							"tr",
							{},
							row.map((value, i) => h(
								i ? "td" : "th",
								{
									scope: i ? null : "row",
									class: typeof value === "number" ? "number" : null,
									translate: "no",
								},
								value === null ? "–" : String(value),
							)),
						)),
					),
				),
			),
		);
		if (rows.length > 500) fold.append(h(
			"p",
			{ class: "quiet" },
			"The first 500 rows. The CSV file has them all.",
		));
	});
	return fold;
}

// A cell that a spreadsheet could run as a formula gets an apostrophe in front.
export function csv({ head, rows }) {
	const cell = (value) => {
		if (value === null || value === undefined) return "";
		if (typeof value === "number") return String(value);
		const text = value.replace(/[\u0000-\u001f\u007f]/g, " ");
		const safe = /^\s*[=+\-@]/.test(text) ? `'${text}` : text;
		return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
	};
	return `${[head, ...rows].map((row) => row.map(cell).join(",")).join("\n")}\n`;
}

// The drawing with its colours written into it, so that it looks the same outside of the page.
function standalone(svg) {
	const copy = svg.cloneNode(true);
	copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
	const originals = [svg, ...svg.querySelectorAll("*")];
	[copy, ...copy.querySelectorAll("*")].forEach((element, i) => {
		const style = getComputedStyle(originals[i]);
		element.setAttribute("style", KEPT_STYLES.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
	});
	const [, , width, height] = svg.getAttribute("viewBox").split(" ");
	copy.setAttribute("width", width);
	copy.setAttribute("height", height);
	return new XMLSerializer().serializeToString(copy);
}

async function png(svg) {
	const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
	const image = new Image();
	image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`;
	await image.decode();
	const canvas = h("canvas", { width: 2 * width, height: 2 * height });
	canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
	return new Promise((done) => canvas.toBlob(done, "image/png"));
}
