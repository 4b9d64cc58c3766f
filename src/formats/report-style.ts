/** The report's look: one column of cards, colours as variables for light and dark. */
export const reportStyle = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--fg:#1b2430;--muted:#5a6675;--line:#dfe4ea;--s1:#1f6feb;--s2:#8a94a3;--s3:#0f9d76;--s4:#b7641b;--good:#0b7a55;--bad:#b3261e;--bad-soft:#e8b4b0}
@media screen and (prefers-color-scheme:dark){:root{--bg:#0f141a;--card:#171e26;--fg:#e6ebf1;--muted:#9aa7b5;--line:#2b3541;--s1:#5a9bff;--s2:#8592a3;--s3:#3ecf9f;--s4:#f0a35b;--good:#4ed3a0;--bad:#ff8a80;--bad-soft:#6b3a38}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1340px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px}
h2{font-size:18px;margin:0 0 10px}
h3{font-size:15px;margin:0}
p{margin:0}
.muted{color:var(--muted)}
.small{font-size:12px}
.good{color:var(--good)}
.bad{color:var(--bad)}
section{margin-top:22px}
section:not(.charts):not(.tiles),.charts figure{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 18px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:14px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.tile .value{font-size:26px;font-weight:650;line-height:1.2;font-variant-numeric:tabular-nums}
.tile .value span{font-size:14px;font-weight:400;color:var(--muted)}
.tile .muted{font-size:13px;margin-top:4px}
.scroll{overflow-x:auto}
.scroll:focus-visible{outline:2px solid var(--s1)}
table{border-collapse:collapse;width:100%;font-size:13.5px}
caption{text-align:left;color:var(--muted);padding-bottom:8px}
th,td{padding:6px 9px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{color:var(--muted);font-weight:500;white-space:nowrap}
tbody th{font-weight:600}
tbody tr:last-child>*{border-bottom:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.failed s{color:var(--bad);text-decoration-thickness:2px}
.grade{border:1px solid var(--line);border-radius:99px;padding:1px 8px;font-size:12px;white-space:nowrap}
.grade.measured{border-color:var(--good);color:var(--good)}
.grade.emulated,.grade.published{border-style:dashed}
.charts{columns:2 520px;column-gap:14px}
figure{margin:0}
.charts figure{break-inside:avoid;margin-bottom:14px}
table.narrow{width:auto;min-width:min(100%,480px)}
table.narrow .n{padding-left:32px}
@media (max-width:520px){table.narrow .n{padding-left:9px}}
.charts svg{display:block;width:100%;height:auto;max-width:680px;margin-top:8px}
.charts .muted{font-size:13px}
.images{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,380px),1fr));gap:14px}
.images svg{display:block;width:100%;height:auto;border-radius:6px}
.images rect{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}
.images .found{stroke:#35d07f}
.images .truth{stroke:#ffd54a;stroke-dasharray:5 4}
.images text{fill:#fff;paint-order:stroke;stroke:#000;stroke-width:3px;font-weight:600}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:8px 20px;margin:0}
dt{color:var(--muted);font-size:12px}
dd{margin:0;overflow-wrap:anywhere}
code{font-size:12px;overflow-wrap:anywhere}
ul{margin:0;padding-left:20px}
details{margin-top:10px}
summary{cursor:pointer;color:var(--muted)}
@media print{:root{color-scheme:light;--bg:#fff}section,figure{break-inside:avoid}}
`;
