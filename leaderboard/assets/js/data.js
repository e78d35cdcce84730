// The board's files, decoded: one typed array per column, so that ten thousand rows filter and sort in milliseconds.

const ROOT = new URL("../../data/", import.meta.url); // .../site/<version>/js/ -> .../site/data/

// A file and its tag; null where the tag is the one already known.
export async function fetchFile(name, known = null) {
	const response = await fetch(new URL(name, ROOT), { cache: "no-cache" });
	if (!response.ok) throw new Error(
		(await response.text()) || `${name} could not be fetched (HTTP ${response.status})`,
	);
	const tag = response.headers.get("ETag");
	return tag !== null && tag === known ? null : { tag, file: await response.json() };
}

export const tableFile = (name) => new URL(name, ROOT);

const summed = (steps) => {
	const values = new Int32Array(steps.length);
	let value = 0;
	for (let i = 0; i < steps.length; i++) values[i] = value += steps[i];
	return values;
};

const decoded = (codes, words) => (place) => (codes[place] < 0 ? null : words[codes[place]]);

// What the first file says of one benchmark. `at[row]` is the place of a row's cell, or -1.
function cells(file, rows) {
	const row = summed(file.row);
	const at = new Int32Array(rows).fill(-1);
	row.forEach((r, place) => (at[r] = place));
	return {
		at,
		row,
		score: summed(file.score),
		low: file.low,
		high: file.high,
		best: summed(file.best),
		worst: summed(file.worst),
		compared: summed(file.compared),
		why: decoded(file.why, file.whys),
		reported: new Map(),
		details: null,
	};
}

export function decodeBoard(file) {
	const rows = file.rows.model.length;
	const board = {
		version: file.version,
		benchmarks: file.benchmarks,
		protocols: file.protocols,
		rows,
		model: file.rows.model,
		search: file.rows.model.map((name) => name.toLowerCase()),
		protocol: file.rows.protocol,
		kind: decoded(file.rows.kind, file.rows.kinds),
		kinds: file.rows.kinds,
		licence: decoded(file.rows.licence, file.rows.licences),
		licences: file.rows.licences,
		day: decoded(file.rows.day, file.rows.days),
		parameters: file.rows.parameters,
		weights: file.rows.weights,
		cells: Object.fromEntries(Object.entries(file.cells).map(([name, columns]) => [name, cells(columns, rows)])),
		details: null,
	};
	for (const [name, columns] of Object.entries(file.reported)) {
		columns.row.forEach((row, i) =>
			board.cells[name].reported.set(row, {
				score: columns.score[i] / 10,
				within: columns.within[i],
				source: columns.source[i],
			}),
		);
	}
	return board;
}

// Adds the second file's columns; false where it was made from other results than the first.
export function addDetails(board, file) {
	if (file.version !== board.version) return false;
	board.details = file.rows;
	for (const [name, columns] of Object.entries(file.cells)) {
		board.cells[name].details = {
			...columns,
			day: decoded(columns.day, columns.days),
			device: decoded(columns.device, columns.devices),
		};
	}
	return true;
}

// One result of a row, in points; null where the row has none on this benchmark.
export function cell(board, row, benchmark) {
	const columns = board.cells[benchmark];
	const place = columns.at[row];
	if (place < 0) return null;
	const shown = Math.floor((columns.score[place] + 5) / 10);
	return {
		score: shown / 10,
		low: (shown - columns.low[place]) / 10,
		high: (shown + columns.high[place]) / 10,
		best: columns.best[place],
		worst: columns.worst[place],
		compared: columns.compared[place],
		why: columns.why(place),
		reported: columns.reported.get(row) ?? null,
		place,
	};
}
