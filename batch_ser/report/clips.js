// Clips: one player for all of them. A button shows whether its clip plays.
const player = document.getElementById("player");
const KINDS = { strongest: "loudest anger", control: "drawn at random" };
let playing = null;

function stopped() {
  if (playing) {
    for (const button of document.querySelectorAll(`.play[data-clip="${playing.at}"]`)) {
      button.setAttribute("aria-pressed", "false");
      button.textContent = "▶ Play";
    }
  }
  playing = null;
}

function play(at) {
  const same = playing && playing.at === at;
  player.pause();
  stopped();
  if (same) return;
  playing = { at };
  player.src = `data:audio/mpeg;base64,${data.clips[at].audio}`;
  for (const button of document.querySelectorAll(`.play[data-clip="${at}"]`)) {
    button.setAttribute("aria-pressed", "true");
    button.textContent = "■ Stop";
  }
  player.play().catch((error) => { if (error.name !== "AbortError") stopped(); });
}

player.addEventListener("ended", stopped);

const clipTimes = (clip) => `${clock(clip.start_s)} to ${clock(clip.end_s)}`;

function playButton(at) {
  const clip = data.clips[at];
  if (!clip.audio) {
    return data.has_audio ? el("span", { class: "missing text" }, `no clip: ${clip.missing}`) : null;
  }
  const name = `Play ${data.calls.file[clip.call]}, ${clip.party}, ${clipTimes(clip)}, ${KINDS[clip.kind]}`;
  return el("button", {
    class: "play", type: "button", "data-clip": at, "aria-pressed": "false", "aria-label": name,
    onclick: (event) => { event.stopPropagation(); play(at); },
  }, "▶ Play");
}

// what a segment's score is, without judging it
function clipScores(clip) {
  const strength = clip.angry ?? clip.negative;
  return [
    el("span", { class: "meter", title: `${known(clip.angry) ? "angry" : "negative"} ${strength}\u00a0%` },
      styled(el("i"), { width: `${strength}%` })),
    known(clip.angry) ? `angry ${clip.angry}\u00a0%, ` : "", `negative ${clip.negative}\u00a0%; label ${clip.label}, ${clip.percent}\u00a0%`,
    clip.is_cut && clip.audio ? "; its first 8 s" : "",
  ];
}

function clipList(kind, open) {
  const mine = data.clips.map((clip, at) => [clip, at]).filter(([clip]) => clip.kind === kind);
  return el("ol", { class: "clips" }, mine.map(([clip, at]) => el("li", {},
    playButton(at),
    el("div", {},
      el("button", { class: "name", type: "button", onclick: () => open(clip.call) }, data.calls.file[clip.call]),
      el("div", { class: "soft small" }, `${clip.party}, ${clipTimes(clip)}: `, clipScores(clip))))));
}
