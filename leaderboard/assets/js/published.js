// Published scores: a table per benchmark, each number with whose it is and how it was made. Never sorted by score across
// settings: models come by name, and settings alone explain differences of up to ten points.

import { fetchFile } from "./data.js";
import { h, name } from "./dom.js";
import * as format from "./format.js";

export async function drawPublished(place) {
	const { file } = await fetchFile("charts.json");
	place.replaceChildren(
		h(
			"p",
			{ class: "lead" },
			"For orientation only. Settings differ from ours and from each other, which alone moves a score by up to ten points, so these are never ranked or averaged with our measurements. Reported is the authors' own number, measured elsewhere is somebody else's.",
		),
		...groups(file.published).map(([benchmark, rows]) => table(benchmark, rows)),
	);
}

function groups(published) {
	const by = new Map();
	for (const score of published) by.set(score.title, [...(by.get(score.title) ?? []), score]);
	return [...by];
}

function table(title, rows) {
	const ordered = rows.slice().sort(
		(a, b) => a.model.toLowerCase().localeCompare(b.model.toLowerCase()) || a.date.localeCompare(b.date),
	);
	return h(
		"section",
		{ class: "published", "aria-label": title },
		h("h2", { translate: "no" }, title),
		h(
			"div",
			{ class: "wide-table", tabindex: 0, role: "group", "aria-label": title },
			h(
				"table",
				{},
				h(
					"thead",
					{},
					h(
						"tr",
						{},
						[
							"Model",
							"Score",
							"Whose",
							"Settings",
							"Per problem",
							"Source",
							"Date",
						].map((head) => h("th", { scope: "col" }, head)),
					),
				),
				h("tbody", {}, ordered.map(line)),
			),
		),
	);
}

function line(score) {
	const source = h(
		"a",
		{ href: score.url, target: "_blank", rel: "noopener noreferrer", translate: "no" },
		score.source,
	);
	return h(
		"tr",
		{},
		h("th", { scope: "row" }, name(score.model)),
		h(
			"td",
			{ class: "number" },
			`${format.points(score.score)}${score.std === null ? "" : ` ± ${score.std.toFixed(1)}`}`,
		),
		h("td", {}, h("span", { class: `badge ${score.kind.replace(" ", "-")}` }, score.kind)),
		h("td", { translate: "no" }, score.settings),
		h("td", { class: "number" }, score.samples === null ? format.DASH : String(score.samples)),
		h("td", {}, score.url.startsWith("https://") ? source : name(score.source)),
		h("td", { class: "date" }, score.date),
	);
}
