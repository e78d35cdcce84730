// What every page shares: light or dark, English or Chinese, and times in the reader's zone.

import { language, localTimes, remember, setLanguage, startTranslating } from "./language.js";

const THEME = "open-r1-theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

function wantedTheme() {
	const asked = new URLSearchParams(location.search).get("__theme");
	return asked === "dark" || asked === "light" ? asked : remember(THEME);
}

// Gradio sets the class by the system's choice when it starts; the reader's own choice comes first.
function applyTheme() {
	const wanted = wantedTheme();
	const dark = wanted ? wanted === "dark" : systemIsDark.matches;
	if (document.body.classList.contains("dark") !== dark) document.body.classList.toggle("dark", dark);
	document.documentElement.style.colorScheme = dark ? "dark" : "light";
	for (const button of document.querySelectorAll("[data-theme-switch]")) {
		if (button.getAttribute("aria-pressed") !== String(dark)) button.setAttribute("aria-pressed", String(dark));
	}
}

function switchTheme() {
	remember(THEME, document.body.classList.contains("dark") ? "light" : "dark");
	const here = new URL(location.href);
	here.searchParams.delete("__theme");
	history.replaceState(history.state, "", here);
	applyTheme();
}

document.addEventListener("click", (event) => {
	if (event.target.closest?.("[data-theme-switch]")) switchTheme();
	const choice = event.target.closest?.("[data-language]");
	if (choice) setLanguage(choice.dataset.language);
});

function begin() {
	document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
	applyTheme();
	new MutationObserver(applyTheme).observe(document.body, { attributes: true, attributeFilter: ["class"] });
	systemIsDark.addEventListener("change", applyTheme);
	new MutationObserver((changes) => {
		if (changes.some((change) => change.addedNodes.length)) applyTheme();
	}).observe(document.body, { childList: true, subtree: true });
	localTimes();
	startTranslating();
}

if (document.body) begin();
else addEventListener("DOMContentLoaded", begin);
