// Keys: Space plays, arrows step, with Shift from flip to flip, 1 to 9 turn to a step of the story, F presents.

/** Call what belongs to a key: {play, move(by), flip(by), turn(place), present(on)}. */
export function listenToKeys({ play, move, flip, turn, present }) {
  addEventListener("keydown", (event) => {
    const { key, target } = event, on = (fields) => target.closest?.(fields);
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (on("input:not([type=range]), select, textarea")) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (key === " " && !on("button, a, summary")) {
      if (!event.repeat) play();
    } else if (by && !on("input, [role=slider], [role=listbox]")) (event.shiftKey ? flip : move)(by);
    else if (/^[1-9]$/.test(key)) turn(Number(key));
    else if (key === "f" || key === "F") present();
    else if (key === "Escape") present(false);
    else return;
    event.preventDefault();
  });
}
