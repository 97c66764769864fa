/** Colours of the series differ in lightness too, and stand at least 3:1 against the page in both schemes. */
export const pageStyle = `
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1b1f24; --muted: #5b6570; --line: #c9d0d8; --soft: #f4f6f8; --map: #1f6fb4; --yardstick: #6b7580;
  --series-1: #1f6fb4; --series-2: #b8500f; --series-3: #217a43; --series-4: #8a3fa8;
  --series-5: #b3285f; --series-6: #0b7c80; --series-7: #80620f; --series-8: #4c4fc4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181d; --ink: #e6e9ed; --muted: #9aa5b1; --line: #3c4650; --soft: #1d232a; --map: #4d9fe0; --yardstick: #98a2ad;
    --series-1: #5ab0f2; --series-2: #f0914a; --series-3: #5cc583; --series-4: #c98ae0;
    --series-5: #f07ba6; --series-6: #4cc4c8; --series-7: #d3b04c; --series-8: #9a9cf5;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 3rem 0 .5rem; padding-top: 1rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; max-width: 48rem; }
code { font: .85em/1.4 ui-monospace, "Liberation Mono", monospace; background: var(--soft); padding: .1em .3em; border-radius: 3px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0 0 1rem; }
dt { color: var(--muted); }
dd { margin: 0; min-width: 0; }
.key { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: .35rem 1.5rem; }
.key li { display: flex; gap: .5rem; align-items: baseline; }
.key code { display: block; width: fit-content; }
.key svg { flex: none; align-self: start; margin-top: .25rem; }
figure { margin: 1.5rem 0; }
figcaption, caption { color: var(--muted); font-size: .9rem; text-align: left; max-width: 52rem; }
figcaption { margin-top: .5rem; }
caption { padding: 0 0 .5rem; }
.panels { display: flex; flex-wrap: wrap; gap: 1.25rem 1.5rem; align-items: flex-end; }
.panel { flex: none; width: 360px; max-width: 100%; }
.small .panel { width: 260px; }
.panel-title { margin: 0 0 .25rem; font-size: .9rem; font-weight: 600; }
.plot { font-size: 11px; font-family: inherit; }
.panel svg { display: block; max-width: 100%; height: auto; }
table { border-collapse: collapse; margin: 1.5rem 0; min-width: min(100%, 44rem); font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; font-weight: 400; }
th:first-child, .text th, .text td { text-align: left; }
thead th { color: var(--muted); vertical-align: bottom; border-bottom-width: 2px; }
tbody th { font-weight: 600; min-width: 11rem; }
small { display: block; color: var(--muted); font-size: .8em; font-weight: 400; }
td small { white-space: nowrap; }
tbody th small { display: inline; padding-left: .4em; }
.text td small { white-space: normal; }
@media (max-width: 62rem) {
  table, caption, tbody { display: block; }
  thead { display: none; }
  tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .1rem 1.5rem; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  th, td { border: 0; padding: .1rem 0; text-align: left; min-width: 0; }
  tbody th { grid-column: 1 / -1; }
  td { display: flex; justify-content: space-between; gap: .75rem; }
  td::before { content: attr(data-head); color: var(--muted); }
  td > span { text-align: right; white-space: nowrap; }
  .text tr { grid-template-columns: 1fr; }
  .text td > span { text-align: left; white-space: normal; flex: 0 1 60%; }
}
@media print { h2 { break-before: page; } figure, tr { break-inside: avoid; } }
`
