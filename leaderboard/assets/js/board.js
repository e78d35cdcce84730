// The leaderboard: one table over the board's files, and the address as its state.

import * as columns from "./columns.js";
import { columnMenu, filterMenus, guard, protocolField, searchField, sectionLine, tabs } from "./controls.js";
import { addDetails, decodeBoard, fetchFile, tableFile } from "./data.js";
import { h, name, save, visible } from "./dom.js";
import * as format from "./format.js";
import { Grid } from "./grid.js";
import { drawPublished } from "./published.js";
import { benchmarksOf, filtered, listed, protocolsOf } from "./query.js";
import { MOST_PINS, readState, writeState } from "./state.js";

const LOOK_AGAIN_MS = 5000;

export function mountBoard(root) {
	const view = new Board(root);
	view.start();
	return view;
}

class Board {
	constructor(root) {
		this.root = root;
		this.state = readState(location.search);
		this.board = null;
		this.tags = {};
		this.status = h("p", { class: "status", role: "status" });
		this.top = h("div", { class: "top" });
		this.notes = h("div");
		this.grid = new Grid({
			label: "Measured here",
			draw: (row, column, pinned) => this.cell(row, column, pinned),
			drawSection: sectionLine,
			act: (what, ...values) => this.act(what, ...values),
		});
		this.place = h("div", { class: "place" }, skeleton());
		root.replaceChildren(this.top, this.notes, this.status, this.place);
		root.addEventListener("click", (event) => closeMenus(root, event.target));
		root.addEventListener("keydown", (event) => {
			if (event.key === "Escape") closeMenus(root, null, true);
		});
		addEventListener("popstate", () => {
			this.state = readState(location.search);
			this.render();
		});
		document.addEventListener("keydown", (event) => findOnSlash(event));
	}

	async start() {
		await this.load();
		setInterval(() => document.visibilityState === "visible" && this.load(), LOOK_AGAIN_MS);
	}

	// Fetch what is new. A failure is shown only while there is nothing else to see.
	async load() {
		try {
			const first = await fetchFile("board.json", this.tags.board);
			if (first) {
				this.tags.board = first.tag;
				this.board = decodeBoard(first.file);
				this.render({ keepScroll: true });
				await this.loadDetails();
			}
		} catch (failure) {
			if (!this.board) this.place.replaceChildren(refusal(failure, () => this.load()));
		}
	}

	async loadDetails() {
		const second = await fetchFile("details.json");
		if (!addDetails(this.board, second.file)) {
			this.tags.board = null; // the results moved on in between: both are fetched again
			return;
		}
		const sorts = this.sort().some(([key]) => columns.needsDetails(key));
		if (this.state.tab !== "published") sorts ? this.render({ keepScroll: true }) : this.grid.redraw();
	}

	change(changes, options = {}) {
		this.state = { ...this.state, ...changes };
		history.replaceState(history.state, "", `${location.pathname}${writeState(this.state)}${location.hash}`);
		this.render(options);
	}

	tab() {
		const open = this.tabsOpen();
		return open.includes(this.state.tab) ? this.state.tab : open[0];
	}

	tabsOpen() {
		const open = ["models", "demo"].filter((tab) => protocolsOf(this.board, tab).length);
		return [...open, "published"];
	}

	render({ keepScroll = false, keepFocus = true } = {}) {
		const state = { ...this.state, tab: this.tab() };
		const focus = keepFocus ? focused(this.root) : null;
		const open = [...this.root.querySelectorAll("details.menu[open]")].map((fold) => fold.id);
		if (state.tab === "published") {
			this.top.replaceChildren(h("div", { class: "bar" }, this.tabBar(state)));
			this.notes.replaceChildren();
			this.status.textContent = "";
			drawPublished(this.place);
		} else {
			this.renderTable(state, keepScroll);
		}
		for (const id of open) this.root.querySelector(`#${id}`)?.setAttribute("open", "");
		refocus(this.root, focus);
	}

	tabBar(state) {
		return tabs(this.tabsOpen(), state.tab, (tab) => this.change({ tab, sort: [], on: null, protocol: null }));
	}

	renderTable(state, keepScroll) {
		const protocols = protocolsOf(this.board, state.tab);
		const benchmarks = benchmarksOf(this.board, state.tab);
		const shown = { ...state, sort: this.sort() };
		const list = listed(this.board, shown, protocols);
		this.view = { list, protocols };
		if (!this.top.contains(document.activeElement) || document.activeElement.type !== "search") {
			const all = filtered(this.board, { ...state, kind: [], size: [], licence: [] }, protocols);
			this.top.replaceChildren(
				h("div", { class: "bar" }, this.tabBar(state), this.shareMenu()),
				h(
					"div",
					{ class: "controls" },
					searchField(state.q, (q) => this.change({ q })),
					protocolField(state, protocols, (protocol) => this.change({ protocol })),
					filterMenus(this.board, state, all, (changes) => this.change(changes)),
					columnMenu(this.board, state, benchmarks, (changes) => this.change(changes, { keepScroll: true })),
				),
			);
		}
		this.notes.replaceChildren(...[guard(list.sections)].filter(Boolean));
		this.status.replaceChildren(...this.says(list));
		if (!this.place.contains(this.grid.frame)) this.place.replaceChildren(this.grid.frame);
		this.place.querySelector(".nothing")?.remove();
		if (!list.rows) this.place.append(this.nothing());
		this.grid.update({
			columns: this.columns(state, benchmarks),
			items: list.items,
			pinned: list.pinned,
			keepScroll,
		});
	}

	says(list) {
		const { rows } = list;
		const sorts = this.sort().flatMap(([key, way], i) => [
			i ? ", " : " ",
			h(
				"b",
				{},
				h("span", { translate: key.includes(".") ? "no" : null }, columns.title(key, this.board)),
				way < 0 ? " ↓" : " ↑",
			),
		]);
		const pins = list.pinned.length;
		return [
			h("span", {}, `${format.count(rows)} ${rows === 1 ? "row" : "rows"}`),
			" · ",
			h("span", {}, "Sorted by"),
			...sorts,
			pins > 0 && h("span", {}, ` · ${pins} pinned`),
			pins > 1 && this.compareLink(list.pinned),
		].filter(Boolean);
	}

	// Two pinned rows lead to their comparison on the benchmark that the table is sorted by.
	compareLink(pinned) {
		const key = this.sort().find(([key]) => key.includes("."))?.[0];
		const own = key && this.board.cells[key.split(".")[0]];
		if (!own?.details) return null;
		const plans = pinned.filter((row) => own.at[row] >= 0).map((row) => own.details.plan[own.at[row]]);
		if (plans.length < 2) return null;
		return h("a", { href: `compare?a=${plans[0]}&b=${plans[1]}`, class: "compare" }, "Compare the pinned");
	}

	nothing() {
		return h(
			"p",
			{ class: "nothing" },
			"No model matches. ",
			h(
				"button",
				{
					type: "button",
					class: "plain",
					onclick: () => this.change(
						{ q: "", kind: [], size: [], licence: [], since: "", protocol: null },
						{ keepFocus: false },
					),
				},
				"Clear the filters",
			),
		);
	}

	// The order asked for, or by the benchmark with the most results.
	sort() {
		const asked = this.state.sort.filter(([key]) => columns.known(key, this.board));
		if (asked.length) return asked;
		const benchmarks = benchmarksOf(this.board, this.tab());
		const fullest = benchmarks.reduce((a, b) => (
			this.board.cells[b.name].row.length > this.board.cells[a.name].row.length ? b : a
		));
		return [[`${fullest.name}.score`, -1]];
	}

	columns(state, benchmarks) {
		const on = benchmarks.filter((b) => (
			state.on ? state.on.includes(b.name) : this.board.cells[b.name].row.length
		));
		const sort = this.sort();
		const ordered = (key) => {
			const place = sort.findIndex(([other]) => other === key);
			return { sort: place < 0 ? 0 : sort[place][1], place: sort.length > 1 ? place + 1 : 0 };
		};
		const narrow = matchMedia("(max-width: 760px)").matches;
		return [
			{
				key: "model",
				title: "Model",
				help: "the model's name",
				width: narrow ? 168 : 300,
				css: "model",
				group: "",
				...ordered("model"),
			},
			...on.flatMap((b) =>
				Object.keys(columns.METRICS)
					.filter((metric) => state.show.includes(metric))
					.map((metric) => (
						{
							key: `${b.name}.${metric}`,
							title: columns.METRICS[metric].title,
							help: columns.METRIC_HELP[metric],
							width: columns.METRICS[metric].width,
							css: metric === "score" ? "" : "number",
							group: b.title,
							...ordered(`${b.name}.${metric}`),
						}
					)),
			),
			...Object.keys(columns.FACTS)
				.filter((key) => state.facts.includes(key))
				.map((key) => (
					{
						key,
						title: columns.FACTS[key].title,
						help: "",
						width: columns.FACTS[key].width,
						css: "",
						group: "",
						...ordered(key),
					}
				)),
		];
	}

	cell(row, column, pinned) {
		if (column.key !== "model") return columns.content(this.board, row, column.key);
		const model = this.board.model[row];
		const slash = model.lastIndexOf("/");
		const isPinned = this.state.pin.includes(model);
		const facts = [
			slash > 0 && name(model.slice(0, slash)),
			this.board.weights[row] && h("span", { class: "weights", translate: "no" }, this.board.weights[row]),
			this.board.kind(row) && h("span", {}, format.KINDS[this.board.kind(row)] ?? this.board.kind(row)),
			this.board.parameters[row] !== null && h(
				"span",
				{ translate: "no" },
				format.parameters(this.board.parameters[row]),
			),
			pinned && h("span", { class: "words" }, this.board.protocols[this.board.protocol[row]].title),
		].filter(Boolean);
		return h(
			"span",
			{ class: "who" },
			h(
				"button",
				{
					type: "button",
					class: "pin",
					tabindex: -1,
					"aria-pressed": String(isPinned),
					"aria-label": isPinned ? "Unpin" : "Pin",
					title: isPinned ? "Unpin" : "Pin",
					onclick: () => this.act("pin", row),
				},
				isPinned ? "★" : "☆",
			),
			h(
				"span",
				{ class: "names", title: visible(model) },
				h(
					"a",
					{ class: "name", href: modelLink(model, this.board.details?.commit[row]), tabindex: -1 },
					name(model.slice(slash + 1)),
				),
				h("span", { class: "small quiet" }, facts.flatMap((fact, i) => (i ? [" · ", fact] : [fact]))),
			),
		);
	}

	act(what, ...values) {
		if (what === "sort") this.sortBy(...values);
		if (what === "pin") this.pin(values[0]);
	}

	// A first press sorts highest first (names: A first), a second turns it round; with Shift it comes after the others.
	sortBy(key, addsTo) {
		const before = this.sort();
		const old = before.find(([other]) => other === key);
		const first = key === "model" ? 1 : -1;
		const entry = [key, old ? -old[1] : first];
		const sort = addsTo ? (
			old ? before.map((item) => (item[0] === key ? entry : item)) : [...before, entry]
		) : [entry];
		this.change({ sort });
	}

	pin(row) {
		if (row === undefined) return;
		const model = this.board.model[row];
		const rest = this.state.pin.filter((other) => other !== model);
		const pin = rest.length < this.state.pin.length ? rest : [...rest, model].slice(-MOST_PINS);
		this.change({ pin }, { keepScroll: true });
	}

	shareMenu() {
		const copy = h("button", { type: "button", class: "plain", onclick: () => this.copyLink(copy) }, "Copy link");
		const downloads = ["csv", "parquet"].map((kind) =>
			h(
				"button",
				{ type: "button", class: "plain", onclick: () => this.download(kind) },
				kind === "csv" ? "CSV" : "Parquet",
			),
		);
		return h("div", { class: "share" }, copy, h("span", { class: "quiet" }, "Download"), downloads);
	}

	async copyLink(button) {
		const link = new URL(writeState(this.state) || location.pathname, location.href);
		await navigator.clipboard?.writeText(link.href).catch(() => {});
		button.textContent = "Copied";
		setTimeout(() => (button.textContent = "Copy link"), 1500);
	}

	// The rows as shown, in their order, with every number of the chosen benchmarks.
	async download(kind) {
		const rows = [
			...this.view.list.pinned,
			...this.view.list.items.flatMap((item) => (item.row === undefined ? [] : [item.row])),
		];
		const benchmarks = [
			...new Set(this.grid.columns.filter((c) => c.key.includes(".")).map((c) => c.key.split(".")[0])),
		];
		const body = JSON.stringify({ version: this.board.version, rows: [...new Set(rows)], benchmarks });
		const response = await fetch(
			tableFile(`table.${kind}`),
			{ method: "POST", headers: { "Content-Type": "application/json" }, body },
		);
		if (response.status === 409) {
			this.tags.board = null;
			await this.load();
			return this.download(kind);
		}
		if (!response.ok) {
			this.status.textContent = await response.text();
			return null;
		}
		return save(await response.blob(), `open-r1-leaderboard.${kind}`);
	}
}

export function modelLink(model, commit) {
	const query = new URLSearchParams(commit ? { name: model, commit } : { name: model });
	return `model?${query}`;
}

function skeleton() {
	return h(
		"div",
		{ class: "skeleton", role: "status", "aria-label": "Loading the results" },
		Array.from({ length: 10 }, () => h("div")),
	);
}

function refusal(failure, again) {
	return h(
		"div",
		{ class: "notice bad", role: "alert" },
		h("p", {}, "The results could not be loaded."),
		h("p", { class: "quiet" }, failure.message),
		h("button", { type: "button", class: "plain", onclick: again }, "Try again"),
	);
}

function closeMenus(root, target, returnFocus = false) {
	for (const fold of root.querySelectorAll("details.menu[open]")) {
		if (target && fold.contains(target)) continue;
		if (!returnFocus && target === null) continue;
		if (returnFocus && fold.contains(document.activeElement)) fold.querySelector("summary").focus();
		fold.removeAttribute("open");
	}
}

function findOnSlash(event) {
	const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
	if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
	event.preventDefault();
	document.getElementById("board-search")?.focus();
}

// What has the focus, in a form that outlives a new drawing.
function focused(root) {
	const active = document.activeElement;
	if (!root.contains(active)) return null;
	const menu = active.closest("details.menu");
	if (active.dataset?.at || active.closest("[data-at]")) return `[data-at="${active.closest("[data-at]").dataset.at}"]`;
	if (menu && active.value !== undefined) return `#${menu.id} input[value="${CSS.escape(active.value)}"]`;
	return active.id ? `#${active.id}` : null;
}

function refocus(root, selector) {
	if (!selector || root.contains(document.activeElement)) return;
	root.querySelector(selector)?.focus({ preventScroll: true });
}
