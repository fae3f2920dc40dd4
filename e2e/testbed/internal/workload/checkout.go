package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"time"
)

type item struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	Cents    int64  `json:"cents"`
}

// shop is the checkout service: it renders carts, prices them, reserves stock
// under one lock and hands orders to a slow shipper.
type shop struct {
	stock   sync.Mutex
	left    map[string]int64
	orders  chan []byte
	carts   *ring[string]
	invoice *ring[[]byte]
}

func checkout(ctx context.Context) {
	s := &shop{
		left:    map[string]int64{},
		orders:  make(chan []byte),
		carts:   newRing[string](48),
		invoice: newRing[[]byte](32),
	}
	go every(ctx, roundEvery, s.reserveAll)
	go s.ship(ctx)
	labels := pprof.Labels("endpoint", "/checkout")
	go pprof.Do(ctx, labels, func(ctx context.Context) {
		n := 0
		every(ctx, requestEvery, func() { n++; s.handle(n) })
	})
}

func (s *shop) handle(n int) {
	items := pickItems(n)
	s.carts.add(renderCart(items))
	var total int64
	spend(2*time.Millisecond, func() { total = priceItems(items) })
	spend(time.Millisecond, func() { total = applyDiscounts(total, items) })
	s.invoice.add(writeInvoice(items, total))
	s.orders <- writeInvoice(items, total)
}

func pickItems(n int) []item {
	items := make([]item, 200+n%64)
	for i := range items {
		items[i] = item{
			SKU:      fmt.Sprintf("sku-%05d", (n*31+i*17)%10_000),
			Quantity: int64(1 + (n+i)%5),
			Cents:    int64(99 + (n*i)%9_900),
		}
	}
	return items
}

// renderCart lets its builder grow, as templates do: the garbage is the point.
func renderCart(items []item) string {
	var page strings.Builder
	for range 12 {
		for _, it := range items {
			page.WriteString("<li class=\"item\">")
			page.WriteString(it.SKU)
			page.WriteString("</li>\n")
		}
	}
	return page.String()
}

//go:noinline
func priceItems(items []item) int64 {
	var total int64
	for round := range int64(20) {
		for _, it := range items {
			total += (it.Cents*it.Quantity*1_000_003 + round) % 9_973
		}
	}
	return total
}

//go:noinline
func applyDiscounts(total int64, items []item) int64 {
	for percent := range int64(30) {
		for _, it := range items {
			total -= (it.Cents * percent / 100) % (it.Quantity + 1)
		}
	}
	return total
}

func writeInvoice(items []item, total int64) []byte {
	body, err := json.Marshal(map[string]any{"items": items, "total": total})
	if err != nil {
		panic(err) // plain data: cannot fail
	}
	return body
}

// reserveAll sends three buyers to the stock at once, so that two of them wait.
func (s *shop) reserveAll() {
	var buyers sync.WaitGroup
	for i := range 3 {
		buyers.Go(func() { s.reserveStock(fmt.Sprintf("sku-%d", i)) })
	}
	buyers.Wait()
}

func (s *shop) reserveStock(sku string) {
	s.stock.Lock()
	defer s.stock.Unlock()
	s.left[sku]--
	time.Sleep(time.Millisecond) // the database
}

func (s *shop) ship(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case order := <-s.orders:
			s.packOrder(order)
		}
	}
}

// packOrder is slower than a request now and then, so handle has to wait.
func (s *shop) packOrder(order []byte) {
	time.Sleep(requestEvery + time.Duration(len(order)%10)*time.Millisecond)
}
