// The columns of the table: what each shows, how it sorts, and to which group it belongs.
// A column's key is `<benchmark>.<metric>` or a fact's name; keys stand in links, so they stay what they are.

import { cell } from "./data.js";
import * as format from "./format.js";
import { h, name } from "./dom.js";

const none = () => h("span", { class: "quiet" }, format.DASH);

export const METRICS = {
	score: { title: "Score", width: 158, details: false, value: (c) => c.columns.score[c.place] },
	rank: {
		title: "Rank",
		width: 92,
		details: false,
		value: (c) => (c.columns.best[c.place] ? -c.columns.best[c.place] : null),
	},
	reported: {
		title: "Reported",
		width: 128,
		details: false,
		value: (c) => c.columns.reported.get(c.row)?.score ?? null,
	},
	gap: { title: "Gap", width: 118, details: false, value: (c) => gapOf(c) },
	tokens: { title: "Tokens", width: 84, details: true, value: (c) => c.columns.details.tokens[c.place] },
	cut: { title: "Cut off", width: 84, details: true, value: (c) => c.columns.details.cut[c.place] },
	silent: { title: "No answer", width: 92, details: true, value: (c) => c.columns.details.silent[c.place] },
	majority: { title: "maj@n", width: 78, details: true, value: (c) => c.columns.details.majority[c.place] },
	any: { title: "pass@n", width: 78, details: true, value: (c) => c.columns.details.any[c.place] },
	attempts: { title: "Attempts", width: 88, details: true, value: (c) => c.columns.details.attempts[c.place] },
	cost: { title: "Cost", width: 112, details: true, value: (c) => c.columns.details.cost[c.place] },
	day: { title: "Measured", width: 104, details: true, value: (c) => c.columns.details.day(c.place) },
};

export const METRIC_HELP = {
	score: "pass@1 in points of 100 with its 95 % interval",
	rank: "the ranks that the model may hold, and how many it cannot be told apart from",
	reported: "the score that the authors report",
	gap: "measured minus reported, and whether re-sampling explains it",
	tokens: "mean tokens of an answer",
	cut: "share of answers cut off at the budget",
	silent: "share of attempts without an answer",
	majority: "score of the most frequent answer",
	any: "share of problems solved at least once",
	attempts: "attempts at each problem",
	cost: "device seconds per answer, as served here",
	day: "day of the measurement",
};

export const FACTS = {
	kind: { title: "Kind", width: 96, details: false, value: (board, row) => board.kind(row) },
	size: { title: "Parameters", width: 104, details: false, value: (board, row) => board.parameters[row] },
	licence: { title: "Licence", width: 118, details: false, value: (board, row) => board.licence(row) },
	measured: { title: "Last measured", width: 118, details: false, value: (board, row) => board.day(row) },
	base: { title: "Base model", width: 210, details: true, value: (board, row) => board.details.base[row] || null },
	released: {
		title: "Released",
		width: 104,
		details: true,
		value: (board, row) => board.details.released[row] || null,
	},
	run: { title: "Training run", width: 170, details: true, value: (board, row) => board.details.run[row] || null },
	commit: { title: "Commit", width: 100, details: true, value: (board, row) => board.details.commit[row] || null },
};

function gapOf(c) {
	const reported = c.columns.reported.get(c.row);
	return reported ? Math.floor((c.columns.score[c.place] + 5) / 10) / 10 - reported.score : null;
}

// Whether a column's numbers lie in the file that comes second.
export const needsDetails = (key) => (key.includes(".") ? METRICS[key.split(".")[1]] : FACTS[key])?.details ?? false;

export function known(key, board) {
	if (key === "model") return true;
	if (!key.includes(".")) return key in FACTS;
	const [benchmark, metric] = key.split(".");
	return benchmark in board.cells && metric in METRICS;
}

// What a column sorts by: a number or a text, null where it is unknown.
export function sortValue(board, key) {
	if (key === "model") return (row) => board.search[row];
	if (needsDetails(key) && !board.details) return () => null;
	if (!key.includes(".")) return (row) => FACTS[key].value(board, row);
	const [benchmark, metric] = key.split(".");
	const columns = board.cells[benchmark];
	const value = METRICS[metric].value;
	return (row) => {
		const place = columns.at[row];
		return place < 0 ? null : value({ columns, place, row });
	};
}

export function title(key, board) {
	if (key === "model") return "Model";
	if (!key.includes(".")) return FACTS[key].title;
	const [benchmark, metric] = key.split(".");
	return `${board.benchmarks.find((b) => b.name === benchmark).title} ${METRICS[metric].title.toLowerCase()}`;
}

// The inside of one cell.
export function content(board, row, key) {
	if (needsDetails(key) && !board.details) return h("span", { class: "quiet", "aria-label": "loading" }, "…");
	if (!key.includes(".")) return fact(board, row, key);
	const [benchmark, metric] = key.split(".");
	const shown = cell(board, row, benchmark);
	if (shown === null) return metric === "score" ? h(
		"span",
		{ class: "quiet", title: "not measured" },
		format.DASH,
	) : none();
	return METRIC_CELLS[metric](shown, board.cells[benchmark]);
}

function fact(board, row, key) {
	const value = FACTS[key].value(board, row);
	if (value === null) return h("span", { class: "quiet" }, "unknown");
	if (key === "kind") return h("span", { class: `tag ${value}` }, format.KINDS[value] ?? value);
	if (key === "size") return format.parameters(value);
	if (key === "commit") return h("code", {}, value);
	return name(value);
}

const plain = (write) => (shown, columns, value) => (value === null ? none() : write(value));
const detail = (metric, write) => (shown, columns) =>
	plain(write)(shown, columns, METRICS[metric].value({ columns, place: shown.place }));

const METRIC_CELLS = {
	score: scoreCell,
	rank: rankCell,
	reported: (shown) =>
		shown.reported ? h(
			"span",
			{ title: shown.reported.source },
			h("i", {}, format.points(shown.reported.score)),
		) : none(),
	gap: gapCell,
	tokens: detail("tokens", format.count),
	cut: detail("cut", (value) => format.percent(value / 1000)),
	silent: detail("silent", (value) => format.percent(value / 1000)),
	majority: detail("majority", (value) => format.points(value / 10)),
	any: detail("any", (value) => format.points(value / 10)),
	attempts: detail("attempts", format.count),
	cost: (shown, columns) =>
		plain((value) => h("span", { title: columns.details.device(shown.place) ?? "" }, format.seconds(value / 100)))(
			shown,
			columns,
			columns.details.cost[shown.place],
		),
	day: (shown, columns) => columns.details.day(shown.place) ?? none(),
};

export const resultLink = (plan) => `result?plan=${encodeURIComponent(plan)}`;

function scoreCell(shown, columns) {
	const plan = columns.details?.plan[shown.place];
	const value = format.points(shown.score);
	return h(
		"span",
		{ class: "score" },
		plan ? h("a", { href: resultLink(plan), class: "value" }, value) : h("span", { class: "value" }, value),
		h("span", { class: "bounds" }, format.interval(shown.low, shown.high)),
		h(
			"span",
			{ class: "scale", "aria-hidden": "true" },
			h("span", { class: "range", style: `left:${shown.low}%;right:${100 - shown.high}%` }),
			h("span", { class: "mark", style: `left:${shown.score}%` }),
		),
	);
}

function rankCell(shown) {
	if (shown.why !== null) return h("span", { class: "quiet small", title: shown.why }, "not ranked");
	if (!shown.best) return h("span", { class: "quiet small", title: "nothing to compare with" }, "alone");
	const tied = shown.worst - shown.best;
	return h(
		"span",
		{ class: "rank" },
		h("b", {}, format.ranks(shown.best, shown.worst)),
		h(
			"span",
			{ class: "small quiet" },
			tied ? `${format.count(tied)} not separable` : `of ${format.count(shown.compared)}`,
		),
	);
}

const WITHIN = { 0: ["bad", "beyond the error"], 1: ["good", "within the error"], null: ["quiet", "error unknown"] };

function gapCell(shown) {
	if (!shown.reported) return none();
	const [css, words] = WITHIN[shown.reported.within];
	return h(
		"span",
		{ class: "rank" },
		h("b", {}, format.signed(shown.score - shown.reported.score)),
		h("span", { class: `small ${css}` }, words),
	);
}
