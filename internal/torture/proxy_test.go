//go:build linux && torture

package torture

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is the link between a receiver and a server, which a test may spoil.
// (Shopify/toxiproxy does more, but for these four faults it would bring ten
// modules into the product's go.mod.)
type proxy struct {
	listener net.Listener
	mu       sync.Mutex
	changed  sync.Cond // tells that one of the following changed
	network  string
	target   string
	open     map[net.Conn]bool
	refusing bool          // new connections are reset
	silent   bool          // nothing passes, nothing is closed: half-open
	delay    time.Duration // of every portion, in each direction
	cutAfter int           // > 0: the connection that first answers so many bytes is reset there
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, open: map[net.Conn]bool{}}
	p.changed.L = &p.mu
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go p.serve(conn.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		p.set(func() { p.silent, p.refusing = false, true })
		p.reset()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// set changes the link.
func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

// lead makes new connections go to another server.
func (p *proxy) lead(network, target string) {
	p.set(func() { p.network, p.target = network, target })
}

// reset breaks all connections.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

func (p *proxy) serve(near *net.TCPConn) {
	defer near.Close()
	p.mu.Lock()
	refusing, network, target := p.refusing, p.network, p.target
	p.mu.Unlock()
	var far net.Conn
	var err error
	if !refusing {
		far, err = net.Dial(network, target)
	}
	if refusing || err != nil {
		_ = near.SetLinger(0)
		return
	}
	defer far.Close()
	p.set(func() { p.open[near], p.open[far] = true, true })
	defer p.set(func() { delete(p.open, near); delete(p.open, far) })
	done := make(chan struct{}, 2)
	go func() { p.copy(far, near, false); done <- struct{}{} }()
	go func() { p.copy(near, far, true); done <- struct{}{} }()
	<-done // Postgres has no use for a connection that is open on one side
}

func (p *proxy) copy(to, from net.Conn, answer bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		portion := buffer[:n]
		p.mu.Lock()
		for p.silent {
			p.changed.Wait()
		}
		delay, cut := p.delay, false
		if answer && p.cutAfter > 0 && n > 0 {
			if n >= p.cutAfter {
				portion, cut, p.cutAfter = portion[:p.cutAfter], true, 0
			} else {
				p.cutAfter -= n
			}
		}
		p.mu.Unlock()
		time.Sleep(delay)
		if _, errWrite := to.Write(portion); errWrite != nil || err != nil {
			return
		}
		if cut {
			_ = to.(*net.TCPConn).SetLinger(0)
			return
		}
	}
}
