// Which rows a view shows, and in which order. Scores of different protocols are never sorted into one another: each
// protocol has a section of its own. Statistics come from the server; nothing is averaged or ranked here.

import { sortValue } from "./columns.js";
import { SIZES, UNKNOWN } from "./state.js";

export const ALL = "all";

// The benchmarks of a tab: demonstrations are kept apart from the others.
export function benchmarksOf(board, tab) {
	return board.benchmarks.filter((b) => b.demonstration === (tab === "demo"));
}

const measured = (board, benchmarks) => (row) => benchmarks.some((b) => board.cells[b.name].at[row] >= 0);

// The protocols that rows of this tab have, the standard one first, then by the number of rows.
export function protocolsOf(board, tab) {
	const isThere = measured(board, benchmarksOf(board, tab));
	const sizes = new Map();
	for (let row = 0; row < board.rows; row++) {
		if (isThere(row)) sizes.set(board.protocol[row], (sizes.get(board.protocol[row]) ?? 0) + 1);
	}
	const first = { standard: 0, quick: 1 };
	return [...sizes]
		.map(([place, rows]) => ({ place, rows, ...board.protocols[place] }))
		.sort((a, b) => (first[a.id] ?? 2) - (first[b.id] ?? 2) || b.rows - a.rows);
}

// The protocol of a view: the one asked for, else the standard one, else all of them in their sections.
export function chosenProtocol(state, protocols) {
	if (state.protocol === ALL || protocols.some((p) => p.id === state.protocol)) return state.protocol;
	return protocols.some((p) => p.id === "standard") ? "standard" : ALL;
}

export function filtered(board, state, protocols) {
	const chosen = chosenProtocol(state, protocols);
	const places = new Set(protocols.filter((p) => chosen === ALL || p.id === chosen).map((p) => p.place));
	const tests = [measured(board, benchmarksOf(board, state.tab)), ...filters(board, state)];
	const rows = [];
	for (let row = 0; row < board.rows; row++) {
		if (places.has(board.protocol[row]) && tests.every((test) => test(row))) rows.push(row);
	}
	return rows;
}

function filters(board, state) {
	const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
	const tests = [];
	if (words.length) tests.push((row) => words.every((word) => board.search[row].includes(word)));
	if (state.kind.length) tests.push((row) => state.kind.includes(board.kind(row) ?? UNKNOWN));
	if (state.licence.length) tests.push((row) => state.licence.includes(board.licence(row) ?? UNKNOWN));
	if (state.size.length) tests.push((row) => state.size.includes(sizeOf(board.parameters[row])));
	if (state.since) tests.push((row) => board.day(row) >= state.since);
	return tests;
}

export function sizeOf(thousands) {
	if (thousands === null) return UNKNOWN;
	return SIZES.find(([, , from, below]) => thousands >= from && thousands < below)[0];
}

// Sorted by several columns, unknown values last whichever way, equal rows by name.
export function sorted(board, rows, sort) {
	const keys = [...sort, ["model", 1]].map(([key, way]) => [column(board, rows, key), way]);
	const order = (a, b) => {
		for (const [values, way] of keys) {
			const [x, y] = [values[a], values[b]];
			if (x === y) continue;
			if (x === null) return 1;
			if (y === null) return -1;
			return x < y ? -way : way;
		}
		return a - b;
	};
	return rows.slice().sort(order);
}

function column(board, rows, key) {
	const value = sortValue(board, key);
	const values = new Array(board.rows);
	for (const row of rows) values[row] = value(row);
	return values;
}

// What a view lists: {section} for the beginning of a protocol, {row} for a model.
export function listed(board, state, protocols) {
	const rows = filtered(board, state, protocols);
	const pinned = pinnedRows(board, state, protocols);
	const shown = protocols
		.map((protocol) => ({ protocol, rows: rows.filter((row) => board.protocol[row] === protocol.place) }))
		.filter((section) => section.rows.length);
	const items = shown.flatMap(({ protocol, rows: own }) => [
		...(shown.length > 1 || protocol.id !== "standard" ? [{ section: protocol, rows: own.length }] : []),
		...sorted(board, own, state.sort).map((row) => ({ row })),
	]);
	return { items, rows: rows.length, pinned, sections: shown.map((section) => section.protocol) };
}

// Pinned models, in the order they were pinned, whatever the filters say. Of a model under several protocols the rows of
// those in view; where it has none of them, the first that it has.
function pinnedRows(board, state, protocols) {
	const isThere = measured(board, benchmarksOf(board, state.tab));
	const chosen = chosenProtocol(state, protocols);
	const order = new Map(protocols.map((p, place) => [p.place, place]));
	const inView = new Set(protocols.filter((p) => chosen === ALL || p.id === chosen).map((p) => p.place));
	return state.pin.flatMap((name) => {
		const rows = [];
		for (let row = 0; row < board.rows; row++) if (board.model[row] === name && isThere(row)) rows.push(row);
		rows.sort((a, b) => order.get(board.protocol[a]) - order.get(board.protocol[b]));
		const seen = rows.filter((row) => inView.has(board.protocol[row]));
		return seen.length ? seen.slice(0, 2) : rows.slice(0, 1);
	});
}
