// Axes, scales and marks: data in, SVG out. Colours come from classes, so a chart follows light and dark by itself.

import { s } from "./dom.js";
import * as format from "./format.js";

export const WIDTH = 760;
export const MARGIN = { left: 56, right: 24, top: 18, bottom: 46 };

export function linear(from, to, start, end) {
	const span = to - from || 1;
	return (value) => start + ((value - from) / span) * (end - start);
}

export function logarithmic(from, to, start, end) {
	const scale = linear(Math.log(from), Math.log(to), start, end);
	return (value) => scale(Math.log(value));
}

// Round values from `from` to `to`: about `most` of them.
export function roundTicks(from, to, most = 6) {
	const raw = (to - from || 1) / most;
	const power = 10 ** Math.floor(Math.log10(raw));
	const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((width) => width >= raw);
	const ticks = [];
	for (let value = Math.ceil(from / step) * step; value <= to + step * 1e-9; value += step) ticks.push(Number(value.toPrecision(12)));
	return ticks;
}

// 1, 2 and 5 times powers of ten within the bounds; fewer where there would be many.
export function logTicks(from, to) {
	const ticks = [];
	for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++) {
		for (const factor of [1, 2, 5]) ticks.push(factor * 10 ** power);
	}
	const inside = ticks.filter((value) => value >= from * 0.999 && value <= to * 1.001);
	return inside.length > 8 ? inside.filter((value) => /^[1]0*$|^0\.0*1$/.test(String(value))) : inside;
}

// The frame of a chart: grid, ticks and labels around what `marks` returns.
export function chart({ height = 380, x, y, label, marks }) {
	const right = WIDTH - MARGIN.right;
	const bottom = height - MARGIN.bottom;
	const place = {
		x: x.log ? logarithmic(x.from, x.to, MARGIN.left, right) : linear(x.from, x.to, MARGIN.left, right),
		y: linear(y.from, y.to, bottom, MARGIN.top),
		right,
		bottom,
	};
	const yTicks = roundTicks(y.from, y.to);
	const xTicks = x.ticks ?? (x.log ? logTicks(x.from, x.to) : roundTicks(x.from, x.to));
	return s(
		"svg",
		{ viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label, class: "plot" },
		s("rect", { class: "paper", width: WIDTH, height }),
		yTicks.map((value) => [
			s("line", { class: "rule", x1: MARGIN.left, x2: right, y1: place.y(value), y2: place.y(value) }),
			s(
				"text",
				{ class: "tick", x: MARGIN.left - 8, y: place.y(value) + 4, "text-anchor": "end" },
				String(value),
			),
		]).flat(),
		xTicks.map((value) => [
			s("line", { class: "stroke", x1: place.x(value), x2: place.x(value), y1: bottom, y2: bottom + 5 }),
			s(
				"text",
				{ class: "tick", x: place.x(value), y: bottom + 19, "text-anchor": "middle" },
				(x.write ?? String)(value),
			),
		]).flat(),
		s("line", { class: "stroke", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }),
		s("text", { class: "axis", x: (MARGIN.left + right) / 2, y: height - 6, "text-anchor": "middle" }, x.title),
		s(
			"text",
			{ class: "axis", transform: "rotate(-90)", x: -(MARGIN.top + bottom) / 2, y: 13, "text-anchor": "middle" },
			y.title,
		),
		marks(place),
	);
}

// Bounds around some scores: to tens, and never a sliver.
export function scoreBounds(values) {
	if (!values.length) return { from: 0, to: 100 };
	const from = Math.max(0, Math.floor((Math.min(...values) - 2) / 10) * 10);
	const to = Math.min(100, Math.ceil((Math.max(...values) + 2) / 10) * 10);
	return to - from < 20 ? { from: Math.max(0, to - 20), to: Math.max(20, to) } : { from, to };
}

export const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

export function whisker(x, low, high, css = "whisker") {
	return s("path", { class: css, d: `M${x - 4},${high}h8m-4,0V${low}m-4,0h8` });
}

export function sideWhisker(y, low, high, css = "whisker") {
	return s("path", { class: css, d: `M${low},${y - 4}v8m0,-4H${high}m0,-4v8` });
}

// Text beside a point, where no other text is yet; null where there is no room.
export function labeller(right) {
	const taken = [];
	return (text, x, y) => {
		const width = text.length * 6.4;
		const spots = [
			[x + 9, y + 4, "start"],
			[x - 9, y + 4, "end"],
			[x, y - 10, "middle"],
			[x, y + 20, "middle"],
		];
		for (const [at, base, anchor] of spots) {
			const left = anchor === "start" ? at : anchor === "end" ? at - width : at - width / 2;
			const box = [left, base - 12, left + width, base + 3];
			const free = taken.every(([l, t, r, b]) => box[2] < l || box[0] > r || box[3] < t || box[1] > b);
			if (free && left > MARGIN.left && left + width < right + MARGIN.right) {
				taken.push(box);
				return s("text", { class: "label", x: at, y: base, "text-anchor": anchor, translate: "no" }, text);
			}
		}
		return null;
	};
}

export const inPoints = (score, low, high) => `${format.points(score)} (${format.interval(low, high)})`;
