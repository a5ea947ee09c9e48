// Bring one published figure to life: a slider moves, the parts that differ are swapped.
window.rnnlabFlipbook ??= async (figure) => {
  if (!window.DecompressionStream) return; // an old browser keeps the still picture
  const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const packed = Uint8Array.from(atob(data.slots), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const slots = JSON.parse(await new Response(stream).text());

  const caption = figure.querySelector(".rl-say");
  caption.removeAttribute("aria-live"); // it changes with every move; screen readers hear `spoken`, where the slider rests
  const spoken = figure.appendChild(Object.assign(document.createElement("p"), { className: "rl-spoken" }));
  spoken.setAttribute("aria-live", "polite");
  let timer;

  const elements = slots.map(([kind], n) => {
    if (kind === "say") return caption;
    const slot = figure.querySelector(`[data-slot="${n}"]`);
    return kind === "fragment" ? slot : slot.querySelector("[data-varies]");
  });
  const show = (n, kind, look) => {
    if (kind === "path") elements[n].setAttribute("d", look);
    else if (kind === "fragment") elements[n].innerHTML = look;
    else elements[n].textContent = look;
    if (kind === "say") {
      clearTimeout(timer);
      timer = setTimeout(() => (spoken.textContent = look), 400);
    }
  };

  const position = data.controls.map((control) => control.at);
  const shown = slots.map(() => undefined);
  const draw = () => {
    const state = data.controls.reduce((index, c, i) => index * c.texts.length + position[i], 0);
    slots.forEach(([kind, pool, index], n) => {
      if (shown[n] === index[state]) return;
      shown[n] = index[state];
      show(n, kind, pool[index[state]]);
    });
  };

  const bar = figure.querySelector(".rl-controls");
  const inputs = data.controls.map((control, i) => {
    const label = bar.appendChild(document.createElement("label"));
    // The slider comes first: a label belongs to the first field in it, and an output counts as one. An output is also
    // announced whenever it changes, but the slider says its value already.
    label.innerHTML = '<span></span><input type="range" min="0" step="1" autocomplete="off"><output aria-live="off"></output>';
    const [name, input, value] = label.children;
    name.textContent = control.label;
    input.max = control.texts.length - 1;
    input.value = control.at;
    const move = () => {
      position[i] = +input.value;
      value.textContent = control.texts[position[i]];
      input.setAttribute("aria-valuetext", control.texts[position[i]]);
    };
    input.setAttribute("aria-label", control.label);
    input.addEventListener("input", () => (move(), draw()));
    move();
    return [input, move];
  });
  const reset = bar.appendChild(document.createElement("button"));
  Object.assign(reset, { type: "button", className: "rl-reset", textContent: "Reset" });
  reset.addEventListener("click", () => {
    inputs.forEach(([input, move], i) => ((input.value = data.controls[i].at), move()));
    draw();
  });
  draw();
  clearTimeout(timer); // nothing is announced before the reader moves something
  bar.hidden = false;
};
