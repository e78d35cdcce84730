// What the reader chose, as it stands in the address: every view is a link. Defaults are left out of it.

export const SIZES = [
	["2", "under 2 B", 0, 2e6],
	["2-10", "2 to 10 B", 2e6, 10e6],
	["10-40", "10 to 40 B", 10e6, 40e6],
	["40", "40 B and more", 40e6, Infinity],
];
export const UNKNOWN = "unknown";
const SHOWN = ["score", "rank"];
const FACTS_SHOWN = [];
export const MOST_PINS = 4;

const list = (text) => (text ? text.split(",").filter(Boolean) : []);

export function readState(search) {
	const query = new URLSearchParams(search);
	return {
		tab: query.get("tab") ?? "models",
		q: query.get("q") ?? "",
		protocol: query.get("protocol"),
		kind: list(query.get("kind")),
		size: list(query.get("size")),
		licence: list(query.get("licence")),
		since: query.get("since") ?? "",
		on: query.has("on") ? list(query.get("on")) : null,
		show: query.has("show") ? list(query.get("show")) : SHOWN,
		facts: query.has("facts") ? list(query.get("facts")) : FACTS_SHOWN,
		sort: list(query.get("sort")).map((key) => (key.startsWith("-") ? [key.slice(1), -1] : [key, 1])),
		pin: query.getAll("pin").slice(0, MOST_PINS),
	};
}

export function writeState(state) {
	const query = new URLSearchParams();
	const put = (name, value, usual = "") => {
		if (value !== usual && value !== null) query.set(name, value);
	};
	put("tab", state.tab, "models");
	put("q", state.q);
	put("protocol", state.protocol);
	for (const name of ["kind", "size", "licence"]) put(name, state[name].join(","));
	put("since", state.since);
	if (state.on !== null) query.set("on", state.on.join(","));
	put("show", state.show.join(","), SHOWN.join(","));
	put("facts", state.facts.join(","), FACTS_SHOWN.join(","));
	put("sort", state.sort.map(([key, way]) => (way < 0 ? `-${key}` : key)).join(","));
	for (const pin of state.pin) query.append("pin", pin);
	// Commas and slashes are common here and need no escape in a query.
	const text = query.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
	return text ? `?${text}` : "";
}
