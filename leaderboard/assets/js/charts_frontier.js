// Accuracy against what it takes: tokens, parameters, device seconds. The front joins the models that no other beats.

import { h, s } from "./dom.js";
import { figure } from "./figure.js";
import * as format from "./format.js";
import { chart, inPoints, labeller, path, scoreBounds, whisker } from "./plot.js";

const WHISKERS = 60; // more would be a wall; the front keeps its own

const AXES = {
	tokens: {
		title: "Which models reach more with fewer tokens?",
		lead: "Accuracy against the mean length of an answer. The line is the Pareto front: no other model is both shorter and better.",
		axis: "mean tokens of an answer",
		write: (value) => (value >= 1000 ? `${value / 1000}k` : String(value)),
		tell: (value) => `${format.count(value)} tokens`,
		nothing: "No result counts its tokens yet.",
	},
	size: {
		title: "Does size buy accuracy?",
		lead: "Accuracy against the number of parameters, where a model's files or authors say it. The line is the Pareto front.",
		axis: "parameters",
		write: (value) => (value >= 1e9 ? `${value / 1e9}B` : `${value / 1e6}M`),
		tell: (value) => format.parameters(value / 1000),
		nothing: "No model with a known size has a result here yet.",
	},
	cost: {
		title: "What does a point cost?",
		lead: "Accuracy against device seconds per answer, as it was served here. Only results of one kind of device can be compared.",
		axis: "device seconds per answer",
		write: (value) => String(value),
		tell: (value) => format.seconds(value),
		nothing: "No result says which device served it yet.",
	},
};

export const frontier = Object.fromEntries(Object.keys(AXES).map(
	(key) => [key, (points, title) => draw(key, points, title)],
));

// The points that no other beats: least of `key` first, each scoring more than all before it.
export function paretoFront(points, key) {
	let best = -1;
	return points
		.slice()
		.sort((a, b) => a[key] - b[key] || b.score - a.score)
		.filter((point) => (point.score > best ? ((best = point.score), true) : false));
}

function draw(key, all, benchmark) {
	const { title, lead, axis, write, tell, nothing } = AXES[key];
	const points = all.filter((point) => point[key] !== null && point[key] > 0);
	if (!points.length) return figure({ id: key, title, lead, nothing });
	const front = paretoFront(points, key);
	const values = points.map((point) => point[key]);
	const shown = points.length > WHISKERS ? front : points;
	const svg = chart({
		x: { from: Math.min(...values) / 1.3, to: Math.max(...values) * 1.3, log: true, title: axis, write },
		y: {
			...scoreBounds(shown.flatMap((p) => [p.low, p.high]).concat(points.map((p) => p.score))),
			title: "accuracy, points",
		},
		label: `${benchmark}: accuracy against ${axis}, ${points.length} models. On the Pareto front: ${front.slice(0, 12).map((p) => `${p.model} ${inPoints(p.score, p.low, p.high)} at ${tell(p[key])}`).join("; ")}.`,
		marks: (place) => marks(place, key, points, front, shown, tell),
	});
	return figure({
		id: key,
		title,
		lead,
		svg,
		legend: h(
			"p",
			{ class: "legend" },
			h("span", { class: "on-front" }, "on the front"),
			h("span", { class: "off-front" }, "beaten by another"),
			h("span", { class: "has-whisker" }, "95 % interval"),
		),
		table: {
			head: ["model", "benchmark", "score", "low", "high", axis, "on the front"],
			rows: points.map((p) => [
				p.model,
				benchmark,
				p.score,
				p.low,
				p.high,
				p[key],
				front.includes(p) ? "yes" : "no",
			]),
		},
	});
}

function marks(place, key, points, front, shown, tell) {
	const label = labeller(place.right);
	const at = (point) => [place.x(point[key]), place.y(point.score)];
	const others = points.filter((point) => !front.includes(point));
	const dot = (point, css) => {
		const [x, y] = at(point);
		return s(
			"g",
			{},
			s("title", {}, `${point.model}: ${inPoints(point.score, point.low, point.high)}, ${tell(point[key])}`),
			s("circle", { class: css, cx: x, cy: y, r: css === "front" ? 5 : 4 }),
		);
	};
	return s(
		"g",
		{},
		shown.map((point) => whisker(place.x(point[key]), place.y(point.low), place.y(point.high))),
		others.length > 2000
			? s(
				"path",
				{ class: "cloud", d: others.map((point) => `M${at(point).map((v) => v.toFixed(1))}h0`).join("") },
			)
			: others.map((point) => dot(point, "other")),
		s("path", { class: "front-line", d: path(front.map(at)) }),
		front.map((point) => dot(point, "front")),
		front.slice(-12).map((point) => label(point.model.split("/").at(-1), ...at(point))),
	);
}
