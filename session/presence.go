package session

import "sync"

// presence counts what is still there, such that its end can be waited for with a deadline and more may come
// afterwards. A sync.WaitGroup panics when it is used again while somebody is about to return from Wait.
type presence struct {
	mu   sync.Mutex
	n    int
	gone chan struct{} // closed when n comes to zero; nil as long as nothing ever was there
}

func (p *presence) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 {
		p.gone = make(chan struct{})
	}
	p.n++
}

func (p *presence) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n--
	if p.n == 0 {
		close(p.gone)
	}
}

// absent is closed when nothing of what is there now is left.
func (p *presence) absent() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone == nil {
		p.gone = make(chan struct{})
		close(p.gone)
	}
	return p.gone
}
