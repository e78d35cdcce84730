// The charts page: each figure answers one question, from the same files as the table.

import { addDetails, cell, decodeBoard, fetchFile } from "./data.js";
import { h, visible } from "./dom.js";
import { drift, reproduction } from "./charts_published.js";
import { budgets, runs } from "./charts_lines.js";
import { frontier } from "./charts_frontier.js";
import { protocolsOf } from "./query.js";

export async function mountCharts(root) {
	root.replaceChildren(h("p", { role: "status", class: "waiting" }, "Loading the results"));
	try {
		const [first, second, third] = await Promise.all(
			["board.json", "details.json", "charts.json"].map((name) => fetchFile(name)),
		);
		const board = decodeBoard(first.file);
		if (!addDetails(board, second.file)) return mountCharts(root); // the results moved on in between
		new Charts(root, board, third.file).render();
	} catch (failure) {
		root.replaceChildren(
			h(
				"div",
				{ class: "notice bad", role: "alert" },
				h("p", {}, "The results could not be loaded."),
				h("p", { class: "quiet" }, failure.message),
				h("button", { type: "button", class: "plain", onclick: () => mountCharts(root) }, "Try again"),
			),
		);
	}
	return null;
}

class Charts {
	constructor(root, board, more) {
		Object.assign(this, { root, board, more });
		const query = new URLSearchParams(location.search);
		this.benchmark = query.get("benchmark");
		this.protocol = query.get("protocol");
	}

	choose(changes) {
		Object.assign(this, changes);
		const query = new URLSearchParams({ benchmark: this.benchmark, protocol: this.protocol });
		history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`);
		this.render();
	}

	// Benchmarks with results: the one with the most counted answers is the first choice. Then the protocols it has.
	settle() {
		const filled = this.board.benchmarks.filter((b) => this.board.cells[b.name].row.length);
		if (!filled.some((b) => b.name === this.benchmark)) {
			const told = (b) => this.board.cells[b.name].details.tokens.filter((tokens) => tokens !== null).length;
			const most = (a, b) => told(b) - told(a) || this.board.cells[b.name].row.length - this.board.cells[a.name].row.length;
			this.benchmark = filled.toSorted(most)[0]?.name ?? null;
		}
		const tab = filled.find((b) => b.name === this.benchmark)?.demonstration ? "demo" : "models";
		const cells = this.board.cells[this.benchmark];
		const has = (p) => cells.row.some((row) => this.board.protocol[row] === p.place);
		const protocols = this.benchmark ? protocolsOf(this.board, tab).filter(has) : [];
		if (!protocols.some((p) => p.id === this.protocol)) this.protocol = this.fullest(protocols, cells)?.id ?? null;
		return { filled, protocols };
	}

	// The standard protocol where there is one, else the one whose answers are counted most often.
	fullest(protocols, cells) {
		const told = (p) =>
			cells.row.filter((row, place) => this.board.protocol[row] === p.place && cells.details.tokens[place] !== null)
				.length;
		return protocols[0]?.id === "standard" ? protocols[0] : protocols.toSorted((a, b) => told(b) - told(a))[0];
	}

	render() {
		const { filled, protocols } = this.settle();
		const points = this.benchmark ? this.points(protocols.find((p) => p.id === this.protocol)) : [];
		const title = filled.find((b) => b.name === this.benchmark)?.title ?? "";
		const focus = document.activeElement?.id;
		this.root.replaceChildren(
			this.contents(),
			h(
				"section",
				{ "aria-label": "Measured here" },
				this.controls(filled, protocols),
				frontier.tokens(points, title),
				frontier.size(points, title),
				frontier.cost(points, title),
				budgets(this.more.budgets, points, title),
			),
			h("section", { "aria-label": "Training runs" }, runs(this.more.curves, this.board)),
			h("section", { "aria-label": "Published elsewhere" }, reproduction(this.more), drift(this.more)),
		);
		if (focus) document.getElementById(focus)?.focus();
	}

	contents() {
		const links = {
			tokens: "Tokens",
			size: "Size",
			cost: "Cost",
			budget: "Answer budget",
			runs: "Training runs",
			reproduction: "Reproduction",
			drift: "Drift",
		};
		return h(
			"nav",
			{ class: "contents", "aria-label": "Charts on this page" },
			h(
				"ul",
				{},
				Object.entries(links).map(([id, text]) => h(
					"li",
					{},
					h("a", { href: `#${id}`, onclick: (event) => jump(event, id) }, text),
				)),
			),
		);
	}

	controls(filled, protocols) {
		if (!filled.length) return h("p", { class: "empty" }, "Nothing has been measured yet");
		const select = (id, label, options, value, change) => {
			const list = h(
				"select",
				{ id, onchange: () => change(list.value) },
				options.map(([key, text]) => h(
					"option",
					{ value: key, selected: key === value, translate: id === "chart-benchmark" ? "no" : null },
					text,
				)),
			);
			return h("label", { class: "field" }, h("span", {}, label), list);
		};
		return h(
			"div",
			{ class: "controls" },
			select(
				"chart-benchmark",
				"Benchmark",
				filled.map((b) => [b.name, b.title]),
				this.benchmark,
				(benchmark) => this.choose({ benchmark, protocol: null }),
			),
			select(
				"chart-protocol",
				"Protocol",
				protocols.map((p) => [p.id, p.title]),
				this.protocol,
				(protocol) => this.choose({ protocol }),
			),
		);
	}

	// Every result of one benchmark under one protocol: never two protocols in one picture.
	points(protocol) {
		const columns = this.board.cells[this.benchmark];
		return [...columns.row]
			.filter((row) => this.board.protocol[row] === protocol.place)
			.map((row) => {
				const shown = cell(this.board, row, this.benchmark);
				const details = columns.details;
				return {
					row,
					model: visible(this.board.model[row]),
					...shown,
					benchmark: this.benchmark,
					tokens: details.tokens[shown.place],
					size: this.board.parameters[row] === null ? null : this.board.parameters[row] * 1000,
					cost: details.cost[shown.place] === null ? null : details.cost[shown.place] / 100,
					device: details.device(shown.place),
					plan: details.plan[shown.place],
				};
			});
	}
}

// Gradio's router must not see these: they lead to a place on this page.
function jump(event, id) {
	event.preventDefault();
	document.getElementById(id)?.scrollIntoView({ behavior: "auto", block: "start" });
	history.replaceState(history.state, "", `#${id}`);
}

