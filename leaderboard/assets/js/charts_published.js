// Pictures of published scores: what was reproduced, and how far settings alone move a score.

import { h, s, visible } from "./dom.js";
import { figure } from "./figure.js";
import * as format from "./format.js";
import { MARGIN, WIDTH, linear, roundTicks, sideWhisker } from "./plot.js";

const LINE = 26;
const NAMES = 232;

// Rows of a strip chart: {name, marks(x) -> nodes}; groups begin with a heading.
function strips(groups, { from, to, label }) {
	const height = MARGIN.top + groups.reduce((sum, group) => sum + (group.rows.length + 1) * LINE, 0) + MARGIN.bottom;
	const x = linear(from, to, NAMES, WIDTH - MARGIN.right - 96);
	const nodes = [];
	let y = MARGIN.top;
	for (const group of groups) {
		nodes.push(s("text", { class: "group", x: 0, y: y + 17, translate: "no" }, group.title));
		y += LINE;
		for (const row of group.rows) {
			nodes.push(
				s("line", { class: "rule", x1: NAMES, x2: x(to), y1: y + LINE / 2, y2: y + LINE / 2 }),
				s(
					"text",
					{ class: "label", x: NAMES - 10, y: y + 17, "text-anchor": "end", translate: "no" },
					row.name,
				),
				row.marks(x, y + LINE / 2),
				s("text", { class: "side", x: WIDTH, y: y + 17, "text-anchor": "end" }, row.side ?? ""),
			);
			y += LINE;
		}
	}
	const ticks = roundTicks(from, to).map((value) => [
		s("line", { class: "rule", x1: x(value), x2: x(value), y1: MARGIN.top, y2: y }),
		s("text", { class: "tick", x: x(value), y: y + 18, "text-anchor": "middle" }, String(value)),
	]);
	return s(
		"svg",
		{ viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label, class: "plot" },
		s("rect", { class: "paper", width: WIDTH, height }),
		ticks.flat(),
		nodes,
		s(
			"text",
			{ class: "axis", x: (NAMES + x(to)) / 2, y: height - 6, "text-anchor": "middle" },
			"accuracy, points",
		),
	);
}

const short = (model) => visible(model.split("/").at(-1).replace("DeepSeek-R1-", ""));

export function reproduction({ published, reproductions }) {
	const title = "Were the reported scores reproduced?";
	const lead = "What DeepSeek reports for its models beside what others measured, with the widest 95 % interval that the number of problems allows.";
	const pairs = reproductions.map((pair) => (
		{ ...pair, reported: published[pair.reported], measured: published[pair.measured] }
	));
	if (!pairs.length) return figure({
		id: "reproduction",
		title,
		lead,
		nothing: "No published score has been measured again yet.",
	});
	const values = pairs.flatMap(({ reported, measured }) => [reported.score, measured.low, measured.high]);
	const titles = [...new Set(pairs.map((pair) => pair.measured.title))];
	const inside = (pair) => pair.reported.score >= pair.measured.low && pair.reported.score <= pair.measured.high;
	const row = (pair) => ({
		name: short(pair.model),
		side: format.signed(pair.measured.score - pair.reported.score),
		marks: (x, y) =>
			s(
				"g",
				{ class: inside(pair) ? "inside" : "outside" },
				sideWhisker(y, x(pair.measured.low), x(pair.measured.high)),
				s(
					"circle",
					{ class: "dot", cx: x(pair.measured.score), cy: y, r: 5 },
					s(
						"title",
						{},
						`measured ${format.points(pair.measured.score)}, ${pair.measured.source}, ${pair.measured.date}`,
					),
				),
				s(
					"path",
					{ class: "claim", d: `M${x(pair.reported.score)},${y - 7}l6,7l-6,7l-6,-7z` },
					s("title", {}, `reported ${format.points(pair.reported.score)}, ${pair.reported.source}`),
				),
			),
	});
	const svg = strips(
		titles.map((name) => ({ title: name, rows: pairs.filter((pair) => pair.measured.title === name).map(row) })),
		{
			from: Math.floor(Math.min(...values) / 10) * 10,
			to: Math.ceil(Math.max(...values) / 10) * 10,
			label: `Reported and measured scores. ${pairs.map((p) => `${p.model} on ${p.measured.title}: reported ${format.points(p.reported.score)}, measured ${format.points(p.measured.score)} (${format.interval(p.measured.low, p.measured.high)})`).join("; ")}.`,
		},
	);
	return figure({
		id: "reproduction",
		title,
		lead,
		svg,
		legend: h(
			"p",
			{ class: "legend" },
			h("span", { class: "diamond" }, "reported"),
			h("span", { class: "on-front" }, "measured elsewhere, 95 % interval"),
			h("span", { class: "gap-note" }, "at the right: measured minus reported"),
		),
		table: {
			head: [
				"model",
				"benchmark",
				"reported",
				"measured",
				"low",
				"high",
				"measured minus reported",
				"measured by",
				"date",
				"samples per problem",
			],
			rows: pairs.map((p) => [
				p.model,
				p.measured.title,
				p.reported.score,
				p.measured.score,
				p.measured.low,
				p.measured.high,
				Number((p.measured.score - p.reported.score).toFixed(1)),
				p.measured.source,
				p.measured.date,
				p.measured.samples,
			]),
		},
	});
}

export function drift({ published }) {
	const title = "How far do settings alone move a score?";
	const lead = "The same checkpoints, measured several times with different settings. Each dot is one published measurement; at the right, the distance between the lowest and the highest.";
	const groups = new Map();
	for (const score of published.filter((p) => p.kind !== "reported")) {
		const key = `${score.benchmark}\n${score.model}`;
		groups.set(key, [...(groups.get(key) ?? []), score]);
	}
	const several = [...groups.values()].filter((scores) => scores.length > 1);
	if (!several.length) return figure({
		id: "drift",
		title,
		lead,
		nothing: "No checkpoint was measured more than once.",
	});
	const values = several.flat().map((score) => score.score);
	const spread = (scores) => Math.max(...scores.map((p) => p.score)) - Math.min(...scores.map((p) => p.score));
	const titles = [...new Set(several.toSorted((a, b) => spread(b) - spread(a)).map((scores) => scores[0].title))];
	const row = (scores) => ({
		name: short(scores[0].model),
		side: format.points(spread(scores)),
		marks: (x, y) =>
			s(
				"g",
				{ class: "drift" },
				s(
					"line",
					{
						class: "span",
						x1: x(Math.min(...scores.map((p) => p.score))),
						x2: x(Math.max(...scores.map((p) => p.score))),
						y1: y,
						y2: y,
					},
				),
				scores.map((p) => s(
					"circle",
					{ class: "dot", cx: x(p.score), cy: y, r: 4.5 },
					s("title", {}, `${format.points(p.score)}: ${p.source}, ${p.date}, ${p.settings}`),
				)),
			),
	});
	const svg = strips(
		titles.map((name) => (
			{
				title: name,
				rows: several.filter(
					(scores) => scores[0].title === name,
				).sort((a, b) => spread(b) - spread(a)).map(row),
			}
		)),
		{
			from: Math.floor(Math.min(...values) / 10) * 10,
			to: Math.ceil(Math.max(...values) / 10) * 10,
			label: `Spread of published measurements of one checkpoint. ${several.map((scores) => `${scores[0].model} on ${scores[0].title}: ${scores.length} measurements, ${format.points(spread(scores))} points apart`).join("; ")}.`,
		},
	);
	return figure({
		id: "drift",
		title,
		lead,
		svg,
		table: {
			head: ["model", "benchmark", "score", "source", "date", "settings", "samples per problem", "answer budget"],
			rows: several.flat().map((p) => [
				p.model,
				p.title,
				p.score,
				p.source,
				p.date,
				p.settings,
				p.samples,
				p.budget,
			]),
		},
	});
}
