// How numbers are written, everywhere alike. A dash stands for what is not known.

export const DASH = "–";
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export const points = (value) => (value === null ? DASH : value.toFixed(1));
export const count = (value) => (value === null ? DASH : whole.format(value));
export const percent = (share) => (share === null ? DASH : `${(100 * share).toFixed(1)} %`);
export const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : "±"}${Math.abs(value).toFixed(1)}`;
export const interval = (low, high) => `${low.toFixed(1)}–${high.toFixed(1)}`;
export const ranks = (best, worst) => (best === worst ? `${best}` : `${best}–${worst}`);

// Parameters, given in thousands: 7.6 B, 0.6 M.
export function parameters(thousands) {
	if (thousands === null) return "unknown";
	const [value, unit] = thousands >= 1e6 ? [thousands / 1e6, "B"] : [thousands / 1e3, "M"];
	return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}`;
}

export function seconds(value) {
	if (value === null) return DASH;
	return value < 60 ? `${value.toFixed(value < 10 ? 2 : 0)} s` : `${(value / 60).toFixed(1)} min`;
}

export const KINDS = { base: "base", instruct: "instruct", distilled: "distilled", sft: "SFT", rl: "RL" };
