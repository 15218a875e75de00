// Package console has no code: its tests open the hub's web console in a browser, with real devices behind it. What is done on a page is in
// pages/NAME.mjs; one hub and one browser serve all of them, in the order of their names. HAWSER_ARTIFACTS names a folder that keeps the
// screenshots, HAWSER_CONSOLE_PAGES the scripts to run, when not all.
package console
