// What stands above the table: search, filters, protocol, columns, and what the view says of itself.

import { debounced, h, name } from "./dom.js";
import * as columns from "./columns.js";
import * as format from "./format.js";
import { ALL, chosenProtocol } from "./query.js";
import { SIZES, UNKNOWN } from "./state.js";

const TABS = { models: "Models", demo: "Demonstration", published: "Published elsewhere" };

export function tabs(available, current, choose) {
	return h(
		"div",
		{ class: "tabs", role: "group", "aria-label": "What to show" },
		available.map((tab) =>
			h(
				"button",
				{ type: "button", "aria-pressed": String(tab === current), onclick: () => choose(tab) },
				TABS[tab],
			),
		),
	);
}

export function searchField(value, change) {
	const field = h(
		"input",
		{
			type: "search",
			id: "board-search",
			placeholder: "Find a model",
			value,
			autocomplete: "off",
			spellcheck: "false",
		},
	);
	field.addEventListener("input", debounced(() => change(field.value), 60));
	return h("label", { class: "field search" }, h("span", { class: "hidden" }, "Find a model"), field);
}

export function protocolField(state, protocols, change) {
	const chosen = chosenProtocol(state, protocols);
	const select = h(
		"select",
		{ id: "board-protocol", onchange: () => change(select.value) },
		protocols.map((p) => h("option", { value: p.id, selected: p.id === chosen }, `${p.title} (${p.rows})`)),
		protocols.length > 1 && h("option", { value: ALL, selected: chosen === ALL }, "All, in sections of their own"),
	);
	return h("label", { class: "field" }, h("span", {}, "Protocol"), select);
}

// A fold with check boxes. `options`: [value, label, count].
export function choices(id, title, options, chosen, change) {
	const boxes = options.map(([value, label, count]) =>
		h(
			"label",
			{},
			h("input", { type: "checkbox", value, checked: chosen.includes(value), onchange: () => change(values()) }),
			h("span", {}, label),
			count !== undefined && h("span", { class: "quiet" }, format.count(count)),
		),
	);
	const values = () => [...fold.querySelectorAll("input:checked")].map((box) => box.value);
	const fold = h(
		"details",
		{ class: "menu", id },
		h("summary", {}, h("span", {}, title), chosen.length > 0 && h("span", { class: "badge" }, chosen.length)),
		h("fieldset", {}, h("legend", { class: "hidden" }, title), boxes),
	);
	return fold;
}

export function filterMenus(board, state, rows, change) {
	const counted = (value) => {
		const counts = new Map();
		for (const row of rows) counts.set(value(row), (counts.get(value(row)) ?? 0) + 1);
		return counts;
	};
	const kinds = counted((row) => board.kind(row) ?? UNKNOWN);
	const licences = counted((row) => board.licence(row) ?? UNKNOWN);
	const sizes = counted((row) => sizeName(board.parameters[row]));
	const option = (counts, label) => (value) => [value, label(value), counts.get(value)];
	return [
		choices(
			"filter-kind",
			"Kind",
			[...Object.keys(format.KINDS), UNKNOWN].filter((k) => kinds.has(k)).map(option(
				kinds,
				(k) => format.KINDS[k] ?? k,
			)),
			state.kind,
			(kind) => change({ kind }),
		),
		choices(
			"filter-size",
			"Size",
			[...SIZES.map(([id]) => id), UNKNOWN].filter((id) => sizes.has(id)).map(option(
				sizes,
				(id) => SIZES.find((size) => size[0] === id)?.[1] ?? id,
			)),
			state.size,
			(size) => change({ size }),
		),
		choices(
			"filter-licence",
			"Licence",
			[...licences.keys()].sort().map(option(licences, (l) => (l === UNKNOWN ? l : name(l)))),
			state.licence,
			(licence) => change({ licence }),
		),
		sinceField(state.since, (since) => change({ since })),
	];
}

function sizeName(thousands) {
	if (thousands === null) return UNKNOWN;
	return SIZES.find(([, , from, below]) => thousands >= from && thousands < below)[0];
}

function sinceField(value, change) {
	const field = h("input", { type: "date", value, id: "filter-since", onchange: () => change(field.value) });
	return h("label", { class: "field" }, h("span", {}, "Measured since"), field);
}

export function columnMenu(board, state, benchmarks, change) {
	const metric = (key) => [
		key,
		h("span", {}, columns.METRICS[key].title, h("span", { class: "quiet help" }, columns.METRIC_HELP[key])),
	];
	const on = state.on ?? benchmarks.map((b) => b.name);
	const group = (title, options, chosen, apply) =>
		h(
			"fieldset",
			{},
			h("legend", {}, title),
			options.map(([value, label]) =>
				h(
					"label",
					{},
					h("input", {
						type: "checkbox",
						value,
						checked: chosen.includes(value),
						onchange: (event) => {
							const box = event.target;
							const order = options.map(([key]) => key);
							apply(order.filter((key) => (key === value ? box.checked : chosen.includes(key))));
						},
					}),
					label,
				),
			),
		);
	return h(
		"details",
		{ class: "menu wide", id: "column-menu" },
		h("summary", {}, h("span", {}, "Columns")),
		h(
			"div",
			{ class: "groups" },
			group(
				"Benchmarks",
				benchmarks.map((b) => [b.name, h("span", { translate: "no" }, b.title)]),
				on,
				(names) => change({ on: names.length === benchmarks.length ? null : names }),
			),
			group(
				"Of each benchmark",
				Object.keys(columns.METRICS).map(metric),
				state.show,
				(show) => change({ show }),
			),
			group(
				"Of each model",
				Object.keys(columns.FACTS).map((key) => [key, columns.FACTS[key].title]),
				state.facts,
				(facts) => change({ facts }),
			),
		),
	);
}

// What keeps scores of different protocols apart, in words.
export function guard(sections) {
	if (sections.length < 2) return null;
	return h(
		"div",
		{ class: "notice guard", role: "note" },
		h(
			"p",
			{},
			h("b", {}, "Different protocols are not sorted or ranked together. "),
			"Settings alone move a score by up to ten points, so each protocol has a section of its own, which says how it differs from the standard one.",
		),
	);
}

export function sectionLine({ section, rows }) {
	const standard = section.words.length === 0;
	return h(
		"span",
		{ class: "line" },
		h("b", {}, standard ? "Standard protocol" : "Another protocol"),
		standard
			? h("span", { class: "quiet" }, "every problem, all attempts, the same decoding")
			: h(
				"span",
				{ class: "words", title: section.words.join("; ") },
				h("span", {}, "standard vs this:"),
				" ",
				h("span", {}, section.words.join("; ")),
			),
		h("span", { class: "quiet" }, `${format.count(rows)} ${rows === 1 ? "row" : "rows"}`),
	);
}
