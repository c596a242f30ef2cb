package ui

import (
	"math"
	"strconv"
)

// Series is one part of the stacked bars, named from the bottom up. Kind picks its colour.
type Series struct {
	Name string
	Kind Kind
}

// Bucket is one bar: a short label for the axis, a full title, and a value for each series.
type Bucket struct {
	Label  string // "14:00"
	Title  string // "22 Nov, 14:00 to 15:00"; Label if empty
	Values []int64
}

// ChartProps describes a bar chart. ID is unique on the page. Label says what is counted and over what time.
type ChartProps struct {
	ID      string
	Label   string
	Unit    string // "requests"; may be empty
	Series  []Series
	Buckets []Bucket
	Height  int // of the plot in pixels; 0 means 180
}

// plot has what the template writes into the SVG, computed from ChartProps.
type plot struct {
	height int
	ticks  []tick
	bars   []bar
	totals []int64
	labels []axisLabel
}

type tick struct {
	text string
	y    string
}

type axisLabel struct {
	text   string
	x      string
	anchor string
	minor  bool // not shown on narrow screens
}

type bar struct {
	slotX, slotWidth string // the whole column, which catches the pointer
	x, width         string
	title            string
	values           string // FormatCount of each series, joined by "|"
	parts            []part
}

type part struct {
	kind      Kind
	y, height string
}

// totalLabel is shown in the legend while no bar is selected.
func (p ChartProps) totalLabel() string {
	if p.Unit == "" {
		return "Total"
	}
	return "Total " + p.Unit
}

func (b Bucket) title() string {
	if b.Title != "" {
		return b.Title
	}
	return b.Label
}

func (b Bucket) value(i int) int64 {
	if i < len(b.Values) {
		return max(b.Values[i], 0)
	}
	return 0
}

const (
	plotTop   = 8  // room for half a tick label
	maxBarPct = 6  // of the width, so that a single bar does not fill the plot
	minPartPx = 1  // so that a small value is visible
	barShare  = .7 // of the column
)

func (p ChartProps) plot() plot {
	out := plot{height: p.Height, totals: make([]int64, len(p.Series))}
	if out.height == 0 {
		out.height = 180
	}
	highest := int64(0)
	for _, b := range p.Buckets {
		sum := int64(0)
		for i := range p.Series {
			sum += b.value(i)
			out.totals[i] += b.value(i)
		}
		highest = max(highest, sum)
	}
	values := niceTicks(highest)
	top := values[len(values)-1]
	room := float64(out.height - plotTop)
	for _, v := range values {
		out.ticks = append(out.ticks, tick{text: FormatShort(v), y: decimal(float64(out.height) - v/top*room)})
	}
	slot := 100 / float64(max(len(p.Buckets), 1))
	width := min(slot*barShare, maxBarPct)
	for i, b := range p.Buckets {
		left := float64(i) * slot
		drawn := bar{
			slotX: percent(left), slotWidth: percent(slot),
			x: percent(left + (slot-width)/2), width: percent(width),
			title: b.title(),
		}
		base := float64(out.height)
		for s, series := range p.Series {
			v := b.value(s)
			if s > 0 {
				drawn.values += "|"
			}
			drawn.values += FormatCount(v)
			if v == 0 {
				continue
			}
			h := max(float64(v)/top*room, minPartPx)
			base -= h
			drawn.parts = append(drawn.parts, part{kind: series.Kind, y: decimal(base), height: decimal(h)})
		}
		out.bars = append(out.bars, drawn)
	}
	out.labels = axisLabels(p.Buckets, slot)
	return out
}

// axisLabels returns labels for about six of the buckets, at even distances. Every other one is minor.
func axisLabels(buckets []Bucket, slot float64) []axisLabel {
	const wanted = 6
	step := max((len(buckets)+wanted-1)/wanted, 1)
	var labels []axisLabel
	for i := 0; i < len(buckets); i += step {
		label := axisLabel{
			text:   buckets[i].Label,
			x:      percent((float64(i) + .5) * slot),
			anchor: "middle",
			minor:  len(labels)%2 == 1,
		}
		// The first label would stick out on the left if its column is narrower than its text.
		if i == 0 && slot < 12 {
			label.x, label.anchor = "0%", "start"
		}
		if i == len(buckets)-1 && i > 0 && slot < 12 {
			label.x, label.anchor = "100%", "end"
		}
		labels = append(labels, label)
	}
	return labels
}

// niceTicks returns the values of a y axis, from 0 to the first one at or above highest: three to six of them, in
// steps of 1, 2, 2.5 or 5 times a power of ten. Counts are whole numbers, so the steps are too. If highest is 0, the
// axis still has a scale.
func niceTicks(highest int64) []float64 {
	const wanted = 4
	raw := max(float64(highest)/wanted, 1)
	magnitude := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * magnitude
	for _, m := range []float64{1, 2, 2.5, 5} {
		whole := m*magnitude == math.Trunc(m*magnitude)
		if whole && raw <= m*magnitude {
			step = m * magnitude
			break
		}
	}
	count := max(int(math.Ceil(float64(highest)/step)), 2)
	ticks := make([]float64, 0, count+1)
	for i := range count + 1 {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

func percent(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) + "%"
}

func decimal(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}
