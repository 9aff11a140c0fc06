// The story in five steps; each is settings and a few sentences.

import { USUAL } from "./settings.js";

export const STORY = [
  {
    title: "It finds the teacher",
    set: { noise: 0, steps: 200, speed: 10 },
    text: `<p>Twelve bits are to be learnt from 1,600 samples with clean labels. The student starts with seven wrong
bits. Each step moves a hidden real number behind every bit; when one crosses zero, its bit flips.
<strong>Press play.</strong></p><p>After some forty steps all bits are right, and the gradient is zero: nothing can move any
more. That is not a guess from watching long enough but a proof, so the verdict is <em>certified</em>.</p>`,
  },
  {
    title: "Noise makes it leave and return",
    set: { steps: 20000, speed: 20 },
    text: `<p>The same data, but the labels carry noise. The student finds the teacher and <em>does not stay</em>: the
noise keeps pushing some bits over the border, the data pull them back. Each triangle marks a return.</p><p>This is
<strong>recurrence</strong>, the theorem that this page is about: it leaves and returns for ever. The law on the right
of the table says, before the run, how much of its time it will be there.</p>`,
  },
  {
    title: "The average knows",
    set: { steps: 20000, speed: 1000, view: "average" },
    text: `<p>So when do you stop? Whenever you do, it is a matter of luck whether the last weights are right. But no bit
is wrong for most of the time. So the <strong>sign of the time average</strong> is right in every bit, and stays
right.</p><p>Watch the bars fill up, towards the ticks that the law predicts. Switch between <em>last</em> and
<em>average</em> above the student’s bits.</p>`,
  },
  {
    title: "Chatter at large n",
    set: { n: 128, samples: 512, noise: 0, seed: 1, init: 1, steps: 6000, speed: 500 },
    text: `<p>Now 128 bits and few samples, with clean labels again. The teacher <em>is</em> a resting point, yet the
run does not come there: some ten wrong bits at a time keep pushing others wrong, and those push back.</p><p>This is
<strong>chatter</strong>. Without noise it ends by chance only, and the time that takes grows exponentially with
<i>n</i>.</p>`,
  },
  {
    title: "Restart cures it",
    set: { n: 128, samples: 512, noise: 0, seed: 1, init: 1, restart: "300,0.05", steps: 6000, speed: 200 },
    text: `<p>The same data and the same start. But after every 300 steps the hidden numbers are set back to a multiple of
the time average, and the step sizes begin anew. In the average each bit’s chatter has cancelled.</p><p>From there the run
walks straight into the teacher and rests: <strong>certified</strong>. This is <em>ergodic restart</em>. It was
measured to work without label noise; it is not proved.</p>`,
  },
];

/** The settings of a step of the story, or the usual ones. */
export const storySettings = (step) => ({ ...USUAL, ...(step ? STORY[step - 1].set : {}) });
