// How many events there are over time: the buckets of a date_histogram enter, a drawing leaves.

import { draw, duration, make, moment, number, say, zoneName } from "/static/words.js";

const WIDTH = 1000;
const HEIGHT = 96;
const steps = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 43200, 86400, 604800, 2592000, 7776000, 31536000];

/** Return the interval, in seconds, that cuts a span into about 60 parts. */
export function intervalOf(milliseconds) {
  return steps.find((step) => milliseconds / 1000 / step <= 60) ?? Math.ceil(milliseconds / 60000 / 86400) * 86400;
}

/** Draw the buckets; `onChoose(from, to)` is called with the milliseconds of the bar that was clicked. */
export function histogram(buckets, interval, onChoose) {
  const most = Math.max(0, ...buckets.map((bucket) => bucket.doc_count));
  const width = WIDTH / buckets.length;
  const bars = buckets.map((bucket, place) => {
    const height = bucket.doc_count ? Math.max(2, (bucket.doc_count / most) * HEIGHT) : 0;
    const hint = say("chart.bar", { count: number(bucket.doc_count), from: moment(bucket.key) });
    return draw(
      "g",
      { class: "bar", onclick: () => onChoose(bucket.key, bucket.key + interval * 1000) },
      draw("title", {}, hint),
      draw("rect", { class: "hit", x: place * width, y: 0, width, height: HEIGHT }),
      draw("rect", { x: place * width + width * 0.1, y: HEIGHT - height, width: width * 0.8, height }),
    );
  });
  const label = say("chart.label", { most: number(most), interval: duration(interval) });
  const shape = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label };
  return make(
    "figure",
    { class: "chart" },
    make("figcaption", {}, label),
    draw("svg", shape, bars),
    make("div", { class: "axis" }, make("span", {}, moment(buckets[0].key)), make("span", { class: "zone" }, zoneName()),
      make("span", {}, moment(buckets.at(-1).key + interval * 1000))),
  );
}
