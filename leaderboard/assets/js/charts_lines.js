// Accuracy along something: the answer budget, the steps of a training run. Bands are 95 % intervals.

import { h, s, visible } from "./dom.js";
import { figure } from "./figure.js";
import { chart, inPoints, path, scoreBounds, whisker } from "./plot.js";

const LINES = 6;

export function budgets(curves, points, benchmark) {
	const title = "How long must a model be let think?";
	const lead = "Accuracy under smaller answer budgets, from the same stored answers. The line is a lower bound: the share finished and right within the budget. Dots are exact.";
	const own = new Map(
		curves.filter((curve) => points.some(
			(p) => p.row === curve.row && p.benchmark === curve.benchmark,
		)).map((curve) => [curve.row, curve.points]),
	);
	const shown = points.filter((point) => own.has(point.row)).slice(0, LINES);
	if (!shown.length) return figure({
		id: "budget",
		title,
		lead,
		nothing: "No result counts the tokens of its answers yet.",
	});
	const lines = shown.map((point) => (
		{
			name: point.model,
			points: own.get(point.row).map(([tokens, ...scores]) => (
				{
					at: tokens,
					score: scores[0] / 10,
					low: scores[1] / 10,
					high: scores[2] / 10,
					exact: Boolean(scores[3]),
				}
			)),
		}
	));
	const ats = lines.flatMap((line) => line.points.map((p) => p.at));
	return lineFigure({
		id: "budget",
		title,
		lead,
		lines,
		benchmark,
		x: {
			from: Math.min(...ats),
			to: Math.max(...ats),
			log: true,
			title: "answer budget, tokens",
			write: (v) => (v >= 1000 ? `${v / 1000}k` : String(v)),
		},
	});
}

export function runs(curves, board) {
	const title = "How do checkpoints of a training run get better?";
	const lead = "Accuracy of each checkpoint that was measured, with 95 % intervals.";
	if (!curves.length) return figure({
		id: "runs",
		title,
		lead,
		nothing: "No training run has measured checkpoints yet.",
	});
	const names = Object.fromEntries(board.benchmarks.map((b) => [b.name, b.title]));
	const several = curves.filter((curve) => curve.points.length > 1);
	const figures = (several.length ? several : curves).map((curve, i) => {
		const points = curve.points.map(([at, score, low, high, plan]) => (
			{ at, score, low, high, plan, exact: true }
		));
		return lineFigure({
			id: i ? `runs-${i}` : "runs",
			title: `${names[curve.benchmark] ?? curve.benchmark}: ${visible(curve.run)}`,
			named: true,
			lead,
			lines: [{ name: visible(curve.run), points }],
			benchmark: names[curve.benchmark] ?? curve.benchmark,
			x: { from: 0, to: Math.max(...points.map((p) => p.at)), title: "training step" },
		});
	});
	return h("div", {}, h("h2", {}, title), figures);
}

function lineFigure({ id, title, named, lead, lines, benchmark, x }) {
	const values = lines.flatMap((line) => line.points.flatMap(
		(p) => (lines.length > 2 ? [p.score] : [p.low, p.high]),
	));
	const svg = chart({
		x,
		y: { ...scoreBounds(values), title: "accuracy, points" },
		label: `${benchmark}: ${lines.map((line) => `${line.name}: ${line.points.map((p) => `${p.at}: ${inPoints(p.score, p.low, p.high)}`).join("; ")}`).join(". ")}.`,
		marks: (place) => s("g", {}, lines.map((line, i) => drawLine(place, line, i, lines.length))),
	});
	const legend = lines.length > 1 && h(
		"p",
		{ class: "legend", translate: "no" },
		lines.map((line, i) => h("span", { class: `series s${i}` }, line.name)),
	);
	const table = {
		head: ["series", "benchmark", x.title, "score", "low", "high", "exact"],
		rows: lines.flatMap((line) => line.points.map(
			(p) => [line.name, benchmark, p.at, p.score, p.low, p.high, p.exact ? "yes" : "lower bound"],
		)),
	};
	const drawn = figure({ id, title, lead, svg, legend, table });
	if (named) drawn.querySelector("h2").translate = false;
	return drawn;
}

function drawLine(place, line, i, of) {
	const bound = line.points.filter((p) => !p.exact);
	const along = bound.length ? bound : line.points;
	const at = (p, value) => [place.x(p.at), place.y(value)];
	const band = [...along.map((p) => at(p, p.high)), ...along.toReversed().map((p) => at(p, p.low))];
	return s(
		"g",
		{ class: `s${i}` },
		of <= 2 && s("path", { class: "band", d: `${path(band)}Z` }),
		s("path", { class: "line", d: path(along.map((p) => at(p, p.score))) }),
		line.points.filter((p) => p.exact).map((p) => {
			const [x, y] = at(p, p.score);
			const dot = s(
				"g",
				{},
				s("title", {}, `${line.name}, ${p.at}: ${inPoints(p.score, p.low, p.high)}`),
				of <= 2 && whisker(x, place.y(p.low), place.y(p.high)),
				s("circle", { class: "dot", cx: x, cy: y, r: 4 }),
			);
			return dot;
		}),
	);
}
