package ui

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestNiceTicksAreRoundAndReachTheHighestValue(t *testing.T) {
	for highest, want := range map[int64][]float64{
		0:         {0, 1, 2},
		1:         {0, 1, 2},
		4:         {0, 1, 2, 3, 4},
		5:         {0, 2, 4, 6},
		10:        {0, 5, 10},
		60:        {0, 20, 40, 60},
		99:        {0, 25, 50, 75, 100},
		101:       {0, 50, 100, 150},
		1_234_567: {0, 500_000, 1_000_000, 1_500_000},
	} {
		if got := niceTicks(highest); !slices.Equal(got, want) {
			t.Errorf("%d: got %v, want %v", highest, got, want)
		}
	}
	for _, highest := range []int64{7, 42, 333, 4_001, 77_777, 8_000_000_001, math.MaxInt64} {
		ticks := niceTicks(highest)
		if last := ticks[len(ticks)-1]; last < float64(highest) || len(ticks) < 3 || len(ticks) > 6 {
			t.Errorf("%d: ticks %v", highest, ticks)
		}
	}
}

func TestBarsAreStackedFromTheBottomAndStayInsideThePlot(t *testing.T) {
	p := ChartProps{
		Series: []Series{{Name: "Admitted"}, {Name: "Rejected", Kind: KindDanger}},
		Buckets: []Bucket{
			{Label: "a", Values: []int64{30, 10}},
			{Label: "b", Values: []int64{0, 1}},
			{Label: "c"},
			{Label: "d", Values: []int64{-5, 0}},
		},
		Height: 108,
	}
	got := p.plot()
	parts := got.bars[0].parts
	if len(parts) != 2 ||
		parts[0].y != "33" ||
		parts[0].height != "75" ||
		parts[1].y != "8" ||
		parts[1].height != "25" {
		t.Errorf("a full bar: %+v", parts)
	}
	small := got.bars[1].parts
	if len(small) != 1 || small[0].kind != KindDanger {
		t.Fatalf("a part without a value must not be drawn: %+v", small)
	}
	if h, err := strconv.ParseFloat(small[0].height, 64); err != nil || h < minPartPx {
		t.Errorf("the part of one request has the height %q, want at least %d", small[0].height, minPartPx)
	}
	if len(got.bars[2].parts) != 0 || got.bars[2].values != "0|0" {
		t.Errorf("a bar without values: %+v", got.bars[2])
	}
	if len(got.bars[3].parts) != 0 {
		t.Errorf("a bar with a negative value: %+v", got.bars[3])
	}
	if !slices.Equal(got.totals, []int64{30, 11}) {
		t.Errorf("totals %v", got.totals)
	}
}

func TestASingleBarIsNarrow(t *testing.T) {
	got := ChartProps{Series: []Series{{Name: "n"}}, Buckets: []Bucket{{Label: "now", Values: []int64{1}}}}.plot()
	if got.bars[0].width != "6%" || got.bars[0].x != "47%" || got.bars[0].slotWidth != "100%" {
		t.Errorf("%+v", got.bars[0])
	}
}

func TestAnAxisHasAtMostSixLabels(t *testing.T) {
	for _, n := range []int{0, 1, 5, 6, 7, 24, 60, 720} {
		buckets := make([]Bucket, n)
		labels := axisLabels(buckets, 100/float64(max(n, 1)))
		if len(labels) > 6 || (n > 0 && len(labels) == 0) {
			t.Errorf("%d buckets: %d labels", n, len(labels))
		}
	}
}

func TestAChartHasATableOfItsValues(t *testing.T) {
	html := render(t, BarChart(ChartProps{
		ID:      "c",
		Label:   "Requests",
		Series:  []Series{{Name: "Admitted"}},
		Buckets: []Bucket{{Label: "14:00", Values: []int64{1234567}}},
	}))
	table := html[strings.Index(html, "<tbody>"):]
	if !strings.Contains(table, "14:00") || !strings.Contains(table, "1,234,567") {
		t.Errorf("the table lacks the values: %s", table)
	}
	if strings.Contains(html, "style=") {
		t.Error("the chart has a style attribute, which the content security policy forbids")
	}
}
