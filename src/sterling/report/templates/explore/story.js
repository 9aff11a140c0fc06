// The story in five steps; each is settings and a few sentences.

import { USUAL } from "./settings.js";

export const STORY = [
  {
    title: "It finds the teacher",
    set: { noise: 0, steps: 200, speed: 10 },
    text: `<p>A net with twelve bits <i>w</i> says 1 where <i>w·x</i> > 0, else 0. A teacher with known bits labelled
1,600 random <i>x</i>; the student starts with seven wrong bits. Each step of gradient descent, on the squared error, moves a
hidden real number behind every bit; when that crosses zero, the bit flips. <strong>Press play.</strong></p><p>First without
label noise, so without recurrence: after some forty steps all bits are right and the gradient is zero; nothing can move any
more. That is not a guess from watching long enough but a proof about <em>this run</em>, so its verdict is
<em>certified</em>. Certificates, further down, are proofs about every start.</p>`,
  },
  {
    title: "It leaves and returns",
    set: { steps: 20000, speed: 20 },
    text: `<p>The same inputs, but the labels carry noise of deviation σ = 0.5. The student finds the
teacher and <em>does not stay</em>: the noise keeps pushing some hidden numbers over zero, the data pull them back. Each
triangle marks a return. Every step uses all samples: this is no noise of minibatches.</p><p>It leaves
and returns for ever: this is <strong>recurrence</strong>. That it never ends can be proved for the very data at hand; the
proof, a <em>certificate</em>, stands below the picture of all states. What a law predicts for such a run stands in the
table.</p>`,
  },
  {
    title: "The average knows",
    set: { steps: 20000, speed: 1000, view: "average" },
    text: `<p>So when do you stop? Whenever you do, whether the last weights are right is a matter of luck. But no bit is
wrong for most of the time. So the <strong>sign of the time average</strong> is right in every bit, and stays
right.</p><p>Watch the bars fill up, towards the ticks that the law predicts. Switch between <em>last</em> and
<em>average</em> above the bits.</p>`,
  },
  {
    title: "Chatter with many bits",
    set: { n: 128, samples: 512, noise: 0, seed: 1, init: 1, steps: 6000, speed: 500 },
    text: `<p>Now 128 bits, only four samples for each, and clean labels again. The teacher <em>is</em> a resting point,
yet the run does not come there: about a dozen wrong bits at a time keep pushing others wrong, and those push back. Even
the average is off in a few.</p><p>This is <strong>chatter</strong>. Without noise it ends by chance only, after a time
that grows exponentially with the number of bits (an approximation, compared with runs).</p>`,
  },
  {
    title: "Restart cures it",
    set: { n: 128, samples: 512, noise: 0, seed: 1, init: 1, restart: "300,0.05", steps: 6000, speed: 200 },
    text: `<p>The same data and the same start. But after every 300 steps the hidden numbers are set back to multiples of
the time averages of their bits, and the step sizes begin anew. In the average most of the chatter has cancelled.</p><p>From
there the run walks straight into the teacher and rests: <strong>certified</strong>. This is <em>ergodic restart</em>. It
was measured to work without label noise; it is not proved.</p>`,
  },
];

/** The settings of a step of the story, or the usual ones. */
export const storySettings = (step) => ({ ...USUAL, ...(step ? STORY[step - 1].set : {}) });
