// A table of any length: only the rows in sight exist. The head, the first column and pinned rows stay in place.
// Keys move one cell at a time (arrows, Home, End, Page Up, Page Down, Ctrl+Home, Ctrl+End); Enter follows a link or
// sorts by a column; P pins. One tab stop, as the grid pattern of the ARIA Authoring Practices asks.

import { h } from "./dom.js";

const SPARE = 8; // rows kept beyond both edges
const HEAD_ROWS = 2;

export class Grid {
	// `draw` makes what stands in a cell, `drawSection` the line that begins a protocol; `act` is told what was pressed.
	constructor({ label, draw, drawSection, act }) {
		Object.assign(this, { draw, drawSection, act });
		this.columns = [];
		this.items = [];
		this.pinned = [];
		this.shown = new Map();
		this.active = { row: 0, column: 0 };
		this.colgroup = h("colgroup");
		this.head = h("thead");
		this.pins = h("tbody", { class: "pins" });
		this.body = h("tbody");
		this.table = h("table", { role: "grid", "aria-label": label }, this.colgroup, this.head, this.pins, this.body);
		this.frame = h("div", { class: "frame" }, this.table);
		this.before = h("tr", { class: "spacer", "aria-hidden": "true" }, h("td"));
		this.after = h("tr", { class: "spacer", "aria-hidden": "true" }, h("td"));
		this.frame.addEventListener("scroll", () => this.later(), { passive: true });
		this.table.addEventListener("keydown", (event) => this.key(event));
		this.table.addEventListener("focusin", (event) => this.entered(event.target));
		new ResizeObserver(() => this.later()).observe(this.frame);
		addEventListener("beforeprint", () => this.window(0, Math.min(this.items.length, 2000)));
		addEventListener("afterprint", () => this.later());
	}

	// Show other columns or rows. Columns: {key, title, help, width, group, sort, place}.
	update({ columns, items, pinned, keepScroll }) {
		Object.assign(this, { columns, items, pinned });
		this.heads();
		this.table.setAttribute("aria-rowcount", HEAD_ROWS + pinned.length + items.length);
		this.table.setAttribute("aria-colcount", columns.length);
		this.pins.replaceChildren(...pinned.map((row, i) => this.row({ row, pin: i }, HEAD_ROWS + i)));
		this.shown.clear();
		this.body.replaceChildren(this.before, this.after);
		if (!keepScroll) this.frame.scrollTop = 0;
		this.active = {
			row: Math.min(this.active.row, pinned.length + items.length),
			column: Math.min(this.active.column, columns.length - 1),
		};
		this.render();
	}

	// Draw again what is in sight, for instance once more is known.
	redraw() {
		this.update({ columns: this.columns, items: this.items, pinned: this.pinned, keepScroll: true });
	}

	heads() {
		const groups = [];
		for (const column of this.columns) {
			const last = groups.at(-1);
			if (last && last.group === column.group) last.span += 1;
			else groups.push({ group: column.group, span: 1 });
		}
		this.colgroup.replaceChildren(...this.columns.map((column) => h("col", { style: `width:${column.width}px` })));
		this.table.style.width = `${this.columns.reduce((sum, column) => sum + column.width, 0)}px`;
		this.head.replaceChildren(
			h(
				"tr",
				{ class: "groups", "aria-rowindex": 1 },
				groups.map(({ group, span }) =>
					group ? h(
						"th",
						{ scope: "colgroup", colspan: span, translate: "no" },
						group,
					) : h("td", { colspan: span }),
				),
			),
			h("tr", { "aria-rowindex": 2 }, this.columns.map((column, i) => this.headCell(column, i))),
		);
	}

	headCell(column, i) {
		const ordered = { 1: "ascending", [-1]: "descending" }[column.sort] ?? "none";
		const arrow = { 1: "↑", [-1]: "↓" }[column.sort];
		const button = h(
			"button",
			{
				type: "button",
				tabindex: -1,
				title: column.help,
				onclick: (event) => this.act("sort", column.key, event.shiftKey),
			},
			column.title,
			arrow && h(
				"span",
				{ class: "arrow", "aria-hidden": "true" },
				column.place ? `${arrow}${column.place}` : arrow,
			),
		);
		return h(
			"th",
			{
				scope: "col",
				"aria-sort": ordered,
				"aria-colindex": i + 1,
				tabindex: -1,
				"data-at": `0,${i}`,
				class: column.css,
			},
			button,
		);
	}

	later() {
		if (this.waiting) return;
		this.waiting = requestAnimationFrame(() => {
			this.waiting = 0;
			this.render();
		});
	}

	render() {
		const height = this.rowHeight();
		const first = Math.floor(this.frame.scrollTop / height) - SPARE;
		const inSight = Math.ceil(this.frame.clientHeight / height) + 2 * SPARE;
		this.window(Math.max(0, first), Math.min(this.items.length, Math.max(0, first) + inSight));
		this.mark();
	}

	// Have exactly the rows from `first` up to `end`.
	window(first, end) {
		for (const [i, element] of this.shown) {
			if (i >= first && i < end) continue;
			element.remove();
			this.shown.delete(i);
		}
		let next = this.after;
		for (let i = end - 1; i >= first; i--) {
			let element = this.shown.get(i);
			if (!element) {
				element = this.row(this.items[i], HEAD_ROWS + this.pinned.length + i);
				this.shown.set(i, element);
				this.body.insertBefore(element, next);
			}
			next = element;
		}
		const height = this.rowHeight();
		this.before.firstChild.style.height = `${first * height}px`;
		this.after.firstChild.style.height = `${(this.items.length - end) * height}px`;
		this.before.firstChild.colSpan = this.after.firstChild.colSpan = Math.max(1, this.columns.length);
		this.before.hidden = first === 0;
		this.after.hidden = end === this.items.length;
	}

	row(item, index) {
		const at = index - HEAD_ROWS + 1;
		const attributes = { "aria-rowindex": index + 1 };
		if (item.section) {
			const line = h(
				"th",
				{ scope: "rowgroup", colspan: this.columns.length, tabindex: -1, "data-at": `${at},0` },
				this.drawSection(item),
			);
			return h("tr", { ...attributes, class: "section" }, line);
		}
		if (item.pin !== undefined) attributes.style = `--pin:${item.pin}`;
		return h(
			"tr",
			attributes,
			this.columns.map((column, i) =>
				h(
					i ? "td" : "th",
					{
						scope: i ? null : "row",
						class: column.css,
						tabindex: -1,
						"aria-colindex": i + 1,
						"data-at": `${at},${i}`,
					},
					this.draw(item.row, column, item.pin !== undefined),
				),
			),
		);
	}

	rowHeight() {
		return Number.parseFloat(getComputedStyle(this.frame).getPropertyValue("--row")) || 52;
	}

	// Keys

	mark() {
		this.table.querySelector('[tabindex="0"]')?.setAttribute("tabindex", -1);
		const target = this.at(this.active) ?? this.at({
			row: 0,
			column: this.active.column,
		}) ?? this.at({ row: 0, column: 0 });
		target?.setAttribute("tabindex", 0);
	}

	at({ row, column }) {
		return (
			this.table.querySelector(`[data-at="${row},${column}"]`) ?? this.table.querySelector(
				`.section [data-at="${row},0"]`,
			)
		);
	}

	entered(target) {
		const cell = target.closest("[data-at]");
		if (!cell) return;
		const [row, column] = cell.dataset.at.split(",").map(Number);
		this.active = { row, column: cell.closest(".section") ? this.active.column : column };
		this.mark();
	}

	key(event) {
		if (event.altKey || (event.metaKey && event.key !== "Enter")) return;
		const last = this.pinned.length + this.items.length;
		const page = Math.max(1, Math.floor(this.frame.clientHeight / this.rowHeight()) - 3);
		const { row, column } = this.active;
		const moves = {
			ArrowDown: [row + 1, column],
			ArrowUp: [row - 1, column],
			ArrowRight: [row, column + 1],
			ArrowLeft: [row, column - 1],
			PageDown: [row + page, column],
			PageUp: [row - page, column],
			Home: [event.ctrlKey ? 0 : row, 0],
			End: [event.ctrlKey ? last : row, this.columns.length - 1],
		};
		if (event.key in moves) {
			const [toRow, toColumn] = moves[event.key];
			this.go(Math.min(last, Math.max(0, toRow)), Math.min(this.columns.length - 1, Math.max(0, toColumn)));
		} else if (event.key === "Enter" && event.target.matches("[data-at]")) {
			const inside = event.target.querySelector("a, button:not(.pin)");
			inside?.dispatchEvent(new MouseEvent(
				"click",
				{ bubbles: true, cancelable: true, shiftKey: event.shiftKey, ctrlKey: event.ctrlKey },
			));
		} else if (event.key.toLowerCase() === "p" && row > 0 && !event.ctrlKey) {
			this.act("pin", this.modelRow(row));
		} else {
			return;
		}
		event.preventDefault();
	}

	modelRow(row) {
		return row <= this.pinned.length ? this.pinned[row - 1] : this.items[row - 1 - this.pinned.length]?.row;
	}

	go(row, column) {
		this.active = { row, column };
		if (row > this.pinned.length) this.reveal(row - 1 - this.pinned.length);
		this.render();
		this.at(this.active)?.focus({ preventScroll: row > this.pinned.length && column === 0 });
	}

	// Scroll so that a row is below the head and the pinned rows, and above the lower edge.
	reveal(item) {
		const height = this.rowHeight();
		const covered = this.head.offsetHeight + this.pinned.length * height;
		const room = this.frame.clientHeight - covered;
		const top = item * height;
		if (top < this.frame.scrollTop) this.frame.scrollTop = top;
		else if (top + height > this.frame.scrollTop + room) this.frame.scrollTop = top + height - room;
	}
}
