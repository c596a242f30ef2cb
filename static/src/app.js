// What the pages do in addition to HTML and htmx. Every page works without it: reading and forms do not need it.
"use strict";
(() => {
  const root = document.documentElement;
  root.dataset.js = "";

  const announce = (text) => {
    const region = document.getElementById("announce");
    if (region) region.textContent = text;
  };

  // Times: the relative words are kept up to date, and the exact moment is shown in the browser's zone.
  // The texts are those of Relative and Short in views/ui/time.go.
  const units = [
    [31536000, "year"],
    [2592000, "month"],
    [86400, "day"],
    [3600, "hour"],
    [60, "minute"],
  ];
  const relative = (seconds) => {
    const ahead = seconds < 0;
    const distance = Math.abs(seconds);
    if (distance < 60) return ahead ? "in a moment" : "just now";
    const [size, name] = units.find(([size]) => distance >= size);
    const n = Math.floor(distance / size);
    const text = n + " " + name + (n > 1 ? "s" : "");
    return ahead ? "in " + text : text + " ago";
  };
  const exact = new Intl.DateTimeFormat("en-GB", {
    day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  });
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const digits = (n) => String(n).padStart(2, "0");
  const short = (moment, seconds) => {
    const now = new Date();
    const text = digits(moment.getHours()) + ":" + digits(moment.getMinutes()) + (seconds ? ":" + digits(moment.getSeconds()) : "");
    if (moment.toDateString() === now.toDateString()) return text;
    const year = moment.getFullYear() === now.getFullYear() ? "" : " " + moment.getFullYear();
    return moment.getDate() + " " + months[moment.getMonth()] + year + ", " + text;
  };
  const tick = () => {
    for (const el of document.querySelectorAll("time[data-relative], time[data-moment]")) {
      const moment = new Date(el.dateTime);
      if (isNaN(moment)) continue;
      const { moment: precision } = el.dataset;
      const text = precision ? short(moment, precision === "second") : relative((Date.now() - moment) / 1000);
      if (el.textContent !== text) el.textContent = text;
      const title = precision ? exact.format(moment) : "";
      if (el.title !== title) el.title = title;
    }
  };

  // The server writes times in the zone that this cookie names.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = "tz=" + encodeURIComponent(zone) + "; path=/; SameSite=Lax; max-age=31536000" + secure;
  }

  // A page that answers a POST with a secret replaces its address by one that can be reloaded.
  const replaceURL = () => {
    const el = document.querySelector("[data-replace-url]");
    if (!el) return;
    const url = new URL(el.dataset.replaceUrl, location.href);
    if (url.origin === location.origin) history.replaceState(history.state, "", url);
  };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("span");
    if (!source || !label) return;
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // Without a secure origin there is no clipboard; the selection at least saves a step.
      getSelection().selectAllChildren(source);
      said = "Selected";
    }
    label.textContent = said;
    announce(said === "Copied" ? "Copied to the clipboard" : "Selected. Press Control C to copy");
    clearTimeout(button.copyTimer);
    button.copyTimer = setTimeout(() => {
      label.textContent = "Copy";
      announce("");
    }, 2500);
  };

  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      if (menu !== except) menu.open = false;
    }
  };

  document.addEventListener("click", (event) => {
    const copyButton = event.target.closest("[data-copy]");
    if (copyButton) copy(copyButton);
    closeMenus(event.target.closest("details[data-menu]"));
  });

  document.addEventListener("focusout", (event) => {
    const menu = event.target.closest("details[data-menu][open]");
    if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = document.querySelector("details[data-menu][open]");
      if (menu) {
        const within = menu.contains(document.activeElement);
        menu.open = false;
        if (within) menu.querySelector("summary").focus();
      }
      return;
    }
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const search = document.querySelector('input[type="search"]');
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
      return;
    }
    const plot = event.target.closest("[data-chart-plot]");
    if (plot) chartKey(plot, event);
  });

  // Charts: the legend shows the values of the bar under the pointer or selected with the arrow keys, otherwise the totals.
  const showBar = (chart, bar) => {
    chart.querySelector(".chart-bar[data-active]")?.removeAttribute("data-active");
    const when = chart.querySelector("[data-chart-when]");
    const values = bar?.dataset.values.split("|");
    chart.querySelectorAll(".chart-value").forEach((el, i) => {
      el.textContent = values ? values[i] : el.dataset.total;
    });
    when.textContent = bar ? bar.dataset.title : when.dataset.total;
    bar?.setAttribute("data-active", "");
  };
  const chartKey = (plot, event) => {
    const bars = [...plot.querySelectorAll(".chart-bar")];
    const at = bars.findIndex((bar) => bar.hasAttribute("data-active"));
    const next = { ArrowRight: at + 1, ArrowLeft: at < 0 ? bars.length - 1 : at - 1, Home: 0, End: bars.length - 1 }[event.key];
    if (next === undefined || !bars.length) return;
    event.preventDefault();
    const bar = bars[Math.max(0, Math.min(bars.length - 1, next))];
    const chart = plot.closest("[data-chart]");
    showBar(chart, bar);
    const said = [...chart.querySelectorAll(".chart-key")].map((el) => el.textContent.trim().replace(/\s+/g, " "));
    announce(bar.dataset.title + ": " + said.join(", "));
  };
  const chartOf = (event) => event.target.closest?.("[data-chart]");
  document.addEventListener("pointerover", (event) => {
    const chart = chartOf(event);
    if (chart) showBar(chart, event.target.closest(".chart-bar"));
  });
  document.addEventListener("pointerout", (event) => {
    const chart = chartOf(event);
    if (chart && !chart.contains(event.relatedTarget)) showBar(chart, null);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.matches("[data-chart-plot]")) showBar(chartOf(event), null);
  });

  // Runs for new content: when the page is loaded and after each swap of htmx.
  const enhance = () => {
    tick();
    for (const plot of document.querySelectorAll("[data-chart-plot]:not([tabindex])")) {
      plot.tabIndex = 0;
      plot.setAttribute("role", "group");
      plot.setAttribute("aria-label", "Bars. Use the arrow keys to read their values");
      // The browser's own tooltip would repeat what the legend shows.
      plot.querySelectorAll("title").forEach((title) => title.remove());
    }
    // A swap has put the totals back into the legend.
    for (const bar of document.querySelectorAll(".chart-bar[data-active]")) showBar(bar.closest("[data-chart]"), bar);
  };

  // Forms: a filter applies when it is changed; nothing is sent twice.
  document.addEventListener("change", (event) => {
    if (event.target.matches("form[data-autosubmit] select")) event.target.form.requestSubmit();
  });
  const release = (form) => {
    delete form.dataset.busy;
    form.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
  };
  // The URL of a filter has only what was chosen: empty and hidden fields are left out.
  const leaveOut = (form) => {
    for (const field of form.elements) {
      if (!field.value || field.parentElement.offsetParent === null) field.disabled = true;
    }
  };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-autosubmit]")) leaveOut(form);
    if (form.method !== "post") return;
    if (form.dataset.busy !== undefined) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    form.dataset.busy = "";
    event.submitter?.setAttribute("aria-busy", "true");
    // A handler that keeps the form from being sent, such as htmx, ends the wait itself; see below.
  }, true);
  addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-busy]").forEach(release);
    document.querySelectorAll("form[data-autosubmit] :disabled").forEach((field) => (field.disabled = false));
  });
  document.addEventListener("htmx:finally:request", (event) => {
    const form = (event.detail?.ctx?.sourceElement ?? event.target).closest?.("form");
    if (form) release(form);
  });

  // Polling stops while the page is hidden.
  document.addEventListener("htmx:before:request", (event) => {
    const source = event.detail?.ctx?.sourceElement ?? event.target;
    const trigger = source.getAttribute?.("hx-trigger") ?? "";
    if (document.hidden && /\bevery\b/.test(trigger)) event.preventDefault();
  });
  document.addEventListener("htmx:after:swap", enhance);

  replaceURL();
  enhance();
  // On a narrow screen the row of tabs scrolls, and the current one may not be visible.
  document.querySelector(".tabs-bar [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  setInterval(tick, 30000);
})();
