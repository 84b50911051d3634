"""How the page looks: every colour comes from gradio's theme, so that it is right in the dark, too."""

from __future__ import annotations

import gradio as gr

# Fonts that every system has: none is fetched.
THEME = gr.themes.Default(
    primary_hue="indigo",
    neutral_hue="slate",
    radius_size="md",
    spacing_size="sm",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    checkbox_border_color_dark="*neutral_400",  # otherwise what is not chosen can hardly be seen in the dark
)

CSS = """
:root { --ink-1: #5b63d3; --ink-2: #d9574a; --ink-3: #2f9e62; --ink-4: #c98a1b; }
.dark { --ink-1: #8f96ff; --ink-2: #ff8577; --ink-3: #56c98a; --ink-4: #e9b44c; }
.gradio-container { width: 100% !important; max-width: 1320px !important; margin: 0 auto !important;
                    padding: 10px 18px !important; }
.gradio-container .main.fillable { padding: 2px 10px 16px !important; }
footer { display: none !important; }
#faces .grid-container { grid-template-columns: repeat(auto-fill, minmax(88px, 1fr)) !important; }
#faces .caption-label { font-size: .7rem; max-width: 100%; }
.person { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 2px;
          background: var(--block-background-fill); }
.person .form { border: none !important; }
.person .block { border: none !important; box-shadow: none !important; }
.task { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 8px 12px; align-items: center;
        background: var(--block-background-fill); }
#head { align-items: center; gap: 16px; }
#brand { font-size: 1.25rem; font-weight: 700; letter-spacing: -.01em; white-space: nowrap; }
#brand i { display: inline-block; width: .62em; height: .95em; border-radius: 50%; background: var(--color-accent);
           margin-right: -.22em; }
#brand i + i { background: var(--ink-2); opacity: .75; margin-right: .45em; }
.pill { float: right; padding: 4px 12px; border-radius: 99px; font-size: .82rem; white-space: nowrap;
        background: color-mix(in srgb, var(--color-accent) 14%, transparent); }
.pill.idle { background: none; color: var(--body-text-color-subdued); }
.pill.trouble { white-space: normal; border-radius: 8px;
                background: color-mix(in srgb, var(--ink-2) 20%, transparent); }
.visitor { float: right; clear: right; padding: 2px 12px; font-size: .82rem; color: var(--body-text-color-subdued); }
.pill i { display: inline-block; width: 8px; height: 8px; border-radius: 50%; margin-right: 8px;
          background: var(--color-accent); animation: breathe 2s steps(6) infinite; }
/* In few steps: smooth ones would keep a core busy where the browser has no GPU, and training needs it. */
@keyframes breathe { 50% { opacity: .25; } }
@keyframes slide { from { left: -30%; } to { left: 100%; } }
.jobs { display: grid; gap: 8px; }
@media (prefers-reduced-motion: reduce) { .pill i, .bar i { animation: none !important; } }
.job { border-style: solid; border-width: 1px 1px 1px 4px; border-radius: 8px;
       border-color: var(--border-color-primary) var(--border-color-primary) var(--border-color-primary)
                     var(--color-accent);
       padding: 10px 14px; background: var(--block-background-fill); font-size: .92rem; }
.job.done { border-left-color: var(--ink-3); } .job.failed { border-left-color: var(--ink-2); }
.job.stopped, .job.waiting, .job.stopping { border-left-color: var(--ink-4); }
.figures { display: flex; justify-content: space-between; gap: 12px; flex-wrap: wrap; margin: 4px 0;
           font-size: .85rem; color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.bar { height: 8px; border-radius: 4px; overflow: hidden; position: relative;
       background: color-mix(in srgb, var(--color-accent) 16%, transparent); }
.bar i { position: absolute; inset: 0 auto 0 0; border-radius: 4px; background: var(--color-accent);
         transition: width .3s; }
.bar i.unknown { width: 30%; animation: slide 2.4s steps(18) infinite; }
.steps { list-style: none; margin: 0; padding: 0; display: grid; gap: 8px; }
.steps li { display: flex; align-items: baseline; gap: 10px; margin: 0; }
.steps i { flex: none; width: 1.55em; height: 1.55em; line-height: 1.55em; border-radius: 50%; text-align: center;
           font-style: normal; font-size: .8rem; border: 1px solid var(--border-color-primary);
           color: var(--body-text-color-subdued); }
.steps .ready i { background: var(--ink-3); border-color: var(--ink-3); color: #fff; }
.steps b { min-width: 4.6em; }
.steps span { color: var(--body-text-color-subdued); font-size: .9rem; overflow-wrap: anywhere; }
.chart { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 8px 10px;
         background: var(--block-background-fill); }
.chart svg { width: 100%; height: auto; display: block; }
.chart text { font-size: 11px; fill: var(--body-text-color-subdued); }
.chart .rule { stroke: var(--border-color-primary); stroke-width: 1; }
.legend { display: flex; gap: 16px; font-size: .85rem; } .legend em { margin-left: auto; font-style: normal;
          color: var(--body-text-color-subdued); }
.legend i { display: inline-block; width: 14px; height: 4px; border-radius: 2px; margin-right: 6px;
            vertical-align: middle; }
.histograms { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; }
.histogram { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 6px 10px;
             background: var(--block-background-fill); font-size: .78rem; }
.histogram div { display: flex; justify-content: space-between; color: var(--body-text-color-subdued); }
.histogram b { color: var(--body-text-color); } .histogram svg { width: 100%; height: 56px; display: block; }
.hints { margin: 10px 0 0; padding-left: 1.2em; font-size: .85rem; color: var(--body-text-color-subdued); }
.row { padding: 2px 4px; font-size: .92rem; } .row > span:not(.badge) { color: var(--body-text-color-subdued);
       margin-left: 10px; font-size: .85rem; }
.row summary { cursor: pointer; font-size: .85rem; color: var(--body-text-color-subdued); }
.row code { display: block; white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; font-size: .8rem;
            padding: 8px 10px; border-radius: 6px; background: var(--background-fill-secondary); }
.badge { display: inline-block; min-width: 5.6em; text-align: center; padding: 1px 8px; margin-right: 10px;
         border-radius: 99px; font-size: .78rem; color: var(--body-text-color);
         background: color-mix(in srgb, var(--color-accent) 18%, transparent); }
.badge.done { background: color-mix(in srgb, var(--ink-3) 24%, transparent); }
.badge.failed { background: color-mix(in srgb, var(--ink-2) 24%, transparent); }
.badge.stopped, .badge.waiting { background: color-mix(in srgb, var(--ink-4) 24%, transparent); }
.reason { color: var(--ink-2); margin: 4px 0; }
.verdict { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 12px 16px; margin-bottom: 10px;
           background: var(--block-background-fill); }
.verdict b { font-size: 1.05rem; } .verdict.ai b { color: var(--ink-2); }
.verdict ul { list-style: none; margin: 8px 0 0; padding: 0; font-size: .9rem; overflow-wrap: anywhere; }
.verdict li { margin: 4px 0; } .verdict li.part { padding-left: 1.6em; }
.verdict span { color: var(--body-text-color-subdued); margin-right: .6em; }
.note { color: var(--body-text-color-subdued); font-size: .9rem; }
#clips .grid-container { grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)) !important; }
#clips .caption-label { font-size: .7rem; max-width: 100%; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 10px; }
.pair figure { margin: 0; } .pair figcaption { font-size: .82rem; color: var(--body-text-color-subdued); }
.pair video, .pair img { width: 100%; max-height: 380px; border-radius: 8px; background: #000; object-fit: contain; }
@media (max-width: 640px) {
    .gradio-container { padding: 6px 4px !important; }
    #head { flex-direction: column; align-items: stretch; gap: 4px; } #head > * { width: 100% !important; }
    .visitor { float: none; }
    .pill { float: none; display: inline-block; white-space: normal; border-radius: 8px; }
    .tab-container button { padding: 0 4px !important; font-size: .82rem !important; }
    #clips .grid-container { grid-template-columns: repeat(auto-fill, minmax(80px, 1fr)) !important; }
}
a.download { display: block; text-align: center; margin-top: 8px; padding: 8px 14px; border-radius: 8px;
             background: var(--button-primary-background-fill); color: var(--button-primary-text-color) !important;
             text-decoration: none !important; font-weight: 600; }
a.download:focus-visible { outline: 3px solid var(--ink-4); outline-offset: 2px; }
"""
