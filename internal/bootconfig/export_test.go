package bootconfig

// Ready is how many configs were made before their machines came.
func (h *Handler) Ready() int {
	h.ready.mu.Lock()
	defer h.ready.mu.Unlock()
	n := 0
	for _, m := range h.ready.made {
		if !m.used.Load() {
			n++
		}
	}
	return n
}
