package workload

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
)

type payment struct {
	account string
	cents   int64
	nonce   uint64
}

// bank is the payments service: it signs requests, authorizes them against a
// ledger that readers and a writer compete for, and settles them in batches.
type bank struct {
	ledger   sync.RWMutex
	balances map[string]int64
	batches  chan []payment
	receipts *ring[[]byte]
	settled  *ring[map[string]int64]
}

func payments(ctx context.Context) {
	b := &bank{
		balances: map[string]int64{},
		batches:  make(chan []payment),
		receipts: newRing[[]byte](64),
		settled:  newRing[map[string]int64](16),
	}
	go every(ctx, roundEvery, b.auditAll)
	go b.settleBatches(ctx)
	labels := pprof.Labels("endpoint", "/pay")
	go pprof.Do(ctx, labels, func(ctx context.Context) {
		n := 0
		every(ctx, requestEvery, func() { n++; b.handle(n) })
	})
}

func (b *bank) handle(n int) {
	batch := readBatch(n)
	var signature uint64
	spend(2*time.Millisecond, func() { signature = signRequest(batch) })
	var approved []payment
	spend(time.Millisecond, func() { approved = authorize(batch, approved[:0]) })
	b.receipts.add(printReceipts(approved, signature))
	b.batches <- approved
}

func readBatch(n int) []payment {
	batch := make([]payment, 300+n%100)
	for i := range batch {
		batch[i] = payment{
			account: "acct-" + strconv.Itoa((n*13+i)%5_000),
			cents:   int64(100 + (n*i)%100_000),
			nonce:   uint64(n)<<32 | uint64(i),
		}
	}
	return batch
}

//go:noinline
func signRequest(batch []payment) uint64 {
	signature := uint64(14695981039346656037) // FNV-1a
	for _, p := range batch {
		for i := range len(p.account) {
			signature = (signature ^ uint64(p.account[i])) * 1099511628211
		}
		signature = (signature ^ p.nonce) * 1099511628211
	}
	return signature
}

//go:noinline
func authorize(batch, approved []payment) []payment {
	for _, p := range batch {
		risk := p.nonce
		for range 24 {
			risk ^= risk << 13
			risk ^= risk >> 7
			risk ^= risk << 17
		}
		if risk%100 != 0 {
			approved = append(approved, p)
		}
	}
	return approved
}

func printReceipts(approved []payment, signature uint64) []byte {
	var page bytes.Buffer
	for range 6 {
		for _, p := range approved {
			fmt.Fprintf(&page, "%s;%d;%016x\n", p.account, p.cents, signature)
		}
	}
	return page.Bytes()
}

// auditAll makes readers wait behind a writer that holds the ledger.
func (b *bank) auditAll() {
	var all sync.WaitGroup
	all.Go(b.closeBooks)
	for i := range 3 {
		all.Go(func() { b.readBalance("acct-" + strconv.Itoa(i)) })
	}
	all.Wait()
}

func (b *bank) closeBooks() {
	b.ledger.Lock()
	defer b.ledger.Unlock()
	b.balances["closed"]++
	time.Sleep(time.Millisecond) // the database
}

func (b *bank) readBalance(account string) int64 {
	b.ledger.RLock()
	defer b.ledger.RUnlock()
	time.Sleep(time.Millisecond) // the database
	return b.balances[account]
}

func (b *bank) settleBatches(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case batch := <-b.batches:
			b.settle(batch)
		}
	}
}

// settle is slower than a request now and then, so handle has to wait.
func (b *bank) settle(batch []payment) {
	sums := make(map[string]int64)
	for _, p := range batch {
		sums[p.account] += p.cents
	}
	b.settled.add(sums)
	time.Sleep(requestEvery + time.Duration(len(batch)%10)*time.Millisecond)
}
