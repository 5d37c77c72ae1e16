// The chart of a symbol: its bars, and marks beside them. Every slot of the calendar has its place, so
// that what is missing shows as a gap.
"use strict";

(() => {
  const box = document.getElementById("chart");
  if (!box || !window.LightweightCharts) return;
  const {
    createChart, createSeriesMarkers, CandlestickSeries, HistogramSeries, CrosshairMode, ColorType,
  } = window.LightweightCharts;

  const texts = JSON.parse(box.dataset.texts);
  const reasons = JSON.parse(box.dataset.reasons);
  const symbol = encodeURIComponent(box.dataset.symbol);
  const language = box.dataset.lang === "zh" ? "zh-CN" : "en";
  const switches = document.getElementById("switches");
  const legend = document.getElementById("legend");
  const SHANGHAI_S = 8 * 3600;
  const FIRST_SHOWN = 140;
  const LATEST = 30;
  const INTRADAY = { "1m": 8, "5m": 60, "15m": 60, "30m": 60, "60m": 60 }; // days that are asked for

  let slots = []; // {time, bar, vacancy, exRight}, ascending
  let at = -1; // the slot that is read out
  let isIntraday = false;
  let asked = 0;
  let decimals = 2;

  const chart = createChart(box, {
    autoSize: true,
    layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 },
    crosshair: { mode: CrosshairMode.Magnet },
    rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.26 } },
    timeScale: { borderVisible: false, rightOffset: 3, minBarSpacing: 0.4 },
    localization: { locale: language },
  });
  const candles = chart.addSeries(CandlestickSeries, { priceLineVisible: false });
  const volumes = chart.addSeries(HistogramSeries, {
    priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
  });
  chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
  const vacancies = chart.addSeries(HistogramSeries, {
    priceScaleId: "vacancy", lastValueVisible: false, priceLineVisible: false,
    priceFormat: { type: "custom", formatter: () => "" },
  });
  chart.priceScale("vacancy").applyOptions({ scaleMargins: { top: 0, bottom: 0 }, visible: false });
  const marks = createSeriesMarkers(candles, []);

  // Colours stand in the style sheet; canvases need them resolved.
  const probe = document.createElement("span");
  probe.hidden = true;
  box.append(probe);
  function colour(name) {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  }

  function number(value, digits = decimals) {
    return value === null ? "–" : value.toLocaleString("en", {
      minimumFractionDigits: digits, maximumFractionDigits: digits,
    });
  }

  function short(value) {
    if (value === null) return "–";
    return new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 2 }).format(value);
  }

  function when(time) {
    const text = new Date(time * 1000).toISOString();
    return isIntraday ? text.slice(0, 16).replace("T", " ") : text.slice(0, 10);
  }

  // The library knows no time zones: instants are handed to it as if Shanghai's clock were UTC's.
  function seconds(text) {
    return Math.floor(Date.parse(text) / 1000) + SHANGHAI_S;
  }

  async function json(address) {
    const answer = await fetch(address, { headers: { Accept: "application/json" } });
    if (answer.status === 401) {
      location.assign(`/login?to=${encodeURIComponent(location.pathname + location.search)}`);
    }
    if (answer.status === 204) return { bars: [], notices: [] };
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.detail);
    return found;
  }

  function chosen() {
    const form = new FormData(switches);
    return {
      period: form.get("period"), adjust: form.get("adjust") || "none", method: form.get("method") || "ratio",
    };
  }

  async function read({ period, adjust, method }) {
    const query = new URLSearchParams({ period });
    if (period in INTRADAY) {
      const from = new Date(newest() - INTRADAY[period] * 86400000);
      query.set("from", from.toISOString().slice(0, 10));
    }
    const marked = json(`/symbols/${symbol}/marks?${query}`);
    query.set("adjust", adjust);
    query.set("method", method);
    const [bars, beside] = await Promise.all([json(`/symbols/${symbol}/bars?${query}`), marked]);
    return { bars, beside };
  }

  // Minute bars are asked for back from the newest session that is complete, not from today.
  function newest() {
    const told = Date.parse(box.dataset.newest);
    return Number.isNaN(told) ? Date.now() : told;
  }

  function arrange({ bars, beside }) {
    const bySlot = new Map();
    for (const each of beside.vacancies) {
      const time = seconds(each.end_at);
      bySlot.set(time, { time, bar: null, vacancy: each, exRight: null });
    }
    for (const bar of bars.bars) {
      const time = seconds(bar.end_at);
      bySlot.set(time, { time, bar, vacancy: null, exRight: null });
    }
    const found = [...bySlot.values()].sort((one, other) => one.time - other.time);
    const first = found.findIndex((slot) => slot.bar);
    const kept = first < 0 ? [] : found.slice(first);
    for (const each of beside.ex_rights) {
      const day = seconds(`${each.ex_session}T00:00:00+08:00`);
      const slot = kept.find((other) => other.bar && other.time >= day);
      if (slot) slot.exRight = each;
    }
    let before = null;
    for (const slot of kept) {
      if (!slot.bar) continue;
      // What an ex-right took from the price is no loss; adjusted prices have it taken out already.
      const isTaken = before !== null && slot.exRight && chosen().adjust === "none";
      const base = isTaken ? before / slot.exRight.factor : before;
      slot.change = base ? slot.bar.close / base - 1 : null;
      before = slot.bar.close;
    }
    return kept;
  }

  function paint() {
    const up = colour("up"), down = colour("down"), provisional = colour("provisional");
    const faintUp = colour("up-faint"), faintDown = colour("down-faint"), hole = colour("hole");
    const paper = colour("surface");
    chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: paper }, textColor: colour("muted") },
      grid: { vertLines: { color: colour("grid") }, horzLines: { color: colour("grid") } },
      crosshair: {
        vertLine: { color: colour("muted"), labelBackgroundColor: colour("label") },
        horzLine: { color: colour("muted"), labelBackgroundColor: colour("label") },
      },
      timeScale: { timeVisible: isIntraday, secondsVisible: false },
    });
    candles.applyOptions({
      upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down,
      priceFormat: { type: "price", precision: decimals, minMove: 1 / 10 ** decimals },
    });
    candles.setData(slots.map(({ time, bar }) => {
      if (!bar) return { time };
      const open = bar.open ?? bar.close; // the opening price of past minutes is not given
      const candle = { time, open, high: bar.high, low: bar.low, close: bar.close };
      if (bar.state !== "provisional") return candle;
      // Hollow: it can still change.
      return { ...candle, color: paper, borderColor: provisional, wickColor: provisional };
    }));
    volumes.setData(slots.map(({ time, bar }) => {
      if (!bar) return { time };
      const falls = bar.close < (bar.open ?? bar.close);
      return { time, value: bar.volume, color: falls ? faintDown : faintUp };
    }));
    vacancies.setData(slots.map(({ time, bar }) => (bar ? { time } : { time, value: 1, color: hole })));
    marks.setMarkers(slots.filter((slot) => slot.exRight).map(({ time }) => (
      { time, position: "belowBar", shape: "arrowUp", color: colour("accent"), text: "XR", size: 0.8 }
    )));
  }

  function item(name, value, kind = "") {
    const span = document.createElement("span");
    const label = document.createElement("i");
    label.textContent = name;
    const b = document.createElement("b");
    b.textContent = value;
    if (kind) b.className = kind;
    span.append(label, " ", b);
    return span;
  }

  function sign(change) {
    return change === null || change === undefined || change === 0 ? "flat" : change > 0 ? "up" : "down";
  }

  function percent(change) {
    if (change === null || change === undefined) return "–";
    const text = `${(change * 100).toFixed(2)}%`.replace("-", "−");
    return change > 0 ? `+${text}` : text;
  }

  function rightText(each) {
    const parts = [];
    if (each.cash) parts.push(`${texts.cash} ${number(each.cash, 4)}`);
    if (each.bonus) parts.push(`${texts.bonus} ${number(each.bonus, 3)}`);
    if (each.rights) parts.push(`${texts.rights} ${number(each.rights, 3)} @ ${number(each.rights_price, 2)}`);
    return parts.join(", ");
  }

  function readOut(index) {
    at = index;
    const slot = slots[index];
    legend.replaceChildren();
    if (!slot) return;
    const time = document.createElement("time");
    time.textContent = when(slot.time);
    legend.append(time);
    if (!slot.bar) {
      const { reason, says } = slot.vacancy;
      legend.append(item(texts.vacant, reason === "failed" ? says : reasons[reason] ?? says, "vacant"));
      return;
    }
    const { bar } = slot;
    legend.append(
      item(texts.open, number(bar.open)), item(texts.high, number(bar.high)), item(texts.low, number(bar.low)),
      item(texts.close, number(bar.close)), item(texts.change, percent(slot.change), sign(slot.change)),
      item(texts.volume, short(bar.volume)), item(texts.amount, short(bar.amount)),
    );
    if (bar.state === "provisional") legend.append(item("", texts.provisional, "provisional"));
    if (slot.exRight) legend.append(item(texts.exright, rightText(slot.exRight), "exright"));
  }

  function table() {
    const rows = slots.filter((slot) => slot.bar).slice(-LATEST).reverse().map(({ time, bar }) => {
      const row = document.createElement("tr");
      const cells = [
        when(time), number(bar.open), number(bar.high), number(bar.low), number(bar.close),
        number(bar.volume, 0), number(bar.amount, 0), texts[bar.state] ?? bar.state,
      ];
      cells.forEach((text, place) => {
        const cell = document.createElement("td");
        cell.className = place === 0 ? "num" : place < 7 ? "n" : "";
        cell.textContent = text;
        row.append(cell);
      });
      return row;
    });
    document.getElementById("latest").replaceChildren(...rows);
  }

  function say(sentences, kind = "") {
    document.getElementById("notes").replaceChildren(...sentences.map((sentence) => {
      const line = document.createElement("li");
      line.textContent = sentence;
      line.className = kind;
      if (language !== "en" && !kind) line.lang = "en";
      return line;
    }));
  }

  function quote() {
    const last = slots.findLast((slot) => slot.bar);
    const place = document.getElementById("quote");
    place.replaceChildren();
    if (!last) return;
    const close = document.createElement("b");
    close.textContent = number(last.bar.close);
    const change = document.createElement("span");
    change.className = sign(last.change);
    change.textContent = percent(last.change);
    const time = document.createElement("time");
    time.textContent = when(last.time);
    place.append(close, " ", change, " ", time);
  }

  function show(index) {
    readOut(index);
    const slot = slots[index];
    if (!slot) return;
    const range = chart.timeScale().getVisibleLogicalRange();
    if (range && (index < range.from + 1 || index > range.to - 1)) {
      const half = (range.to - range.from) / 2;
      chart.timeScale().setVisibleLogicalRange({ from: index - half, to: index + half });
    }
    const price = slot.bar?.close ?? slots.slice(0, index).findLast((each) => each.bar)?.bar.close;
    if (price !== undefined) chart.setCrosshairPosition(price, slot.time, candles);
  }

  async function load({ keepsRange }) {
    const mine = ++asked;
    const range = keepsRange ? chart.timeScale().getVisibleLogicalRange() : null;
    const wanted = chosen();
    document.getElementById("methods")?.toggleAttribute("disabled", wanted.adjust === "none");
    box.setAttribute("aria-busy", "true");
    try {
      const found = await read(wanted);
      if (mine !== asked) return; // another choice was made meanwhile
      isIntraday = wanted.period in INTRADAY;
      slots = arrange(found);
      const low = Math.min(...slots.filter((slot) => slot.bar).map((slot) => Math.abs(slot.bar.close)));
      decimals = low < 1 ? 3 : 2;
      paint();
      table();
      quote();
      const last = slots.findLastIndex((slot) => slot.bar);
      readOut(last);
      if (range && slots.length) chart.timeScale().setVisibleLogicalRange(range);
      else chart.timeScale().setVisibleLogicalRange({ from: slots.length - FIRST_SHOWN, to: slots.length + 2 });
      say(slots.length ? found.bars.notices : [texts.none], slots.length ? "" : "none");
      box.dataset.shown = [wanted.period, wanted.adjust, wanted.method].join(" ");
    } catch (error) {
      if (mine === asked) say([`${texts.failed} ${error.message}`], "bad");
    } finally {
      if (mine === asked) box.removeAttribute("aria-busy");
    }
  }

  chart.subscribeCrosshairMove((move) => {
    if (move.time === undefined || !move.sourceEvent) return;
    const index = slots.findIndex((slot) => slot.time === move.time);
    if (index >= 0 && index !== at) readOut(index);
  });

  box.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 };
    const last = slots.length - 1;
    if (event.key in steps) show(Math.min(last, Math.max(0, (at < 0 ? last : at) + steps[event.key])));
    else if (event.key === "Home") show(0);
    else if (event.key === "End") show(last);
    else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const range = chart.timeScale().getVisibleLogicalRange();
      if (!range) return;
      const by = (range.to - range.from) * (event.key === "-" ? -0.25 : 0.2);
      chart.timeScale().setVisibleLogicalRange({ from: range.from + by, to: range.to - by / 4 });
    } else return;
    event.preventDefault();
  });

  switches.addEventListener("change", (event) => {
    const query = new URLSearchParams(new FormData(switches));
    history.replaceState(null, "", `?${query}`);
    for (const link of document.querySelectorAll("#language")) {
      const to = new URL(link.href);
      to.searchParams.set("back", location.pathname + location.search);
      link.href = to.pathname + to.search;
    }
    load({ keepsRange: event.target.name !== "period" });
  });
  document.addEventListener("quantsync:theme", paint);
  load({ keepsRange: false });
})();
