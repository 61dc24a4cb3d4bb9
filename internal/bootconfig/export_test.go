package bootconfig

// Ready is how many configs were made before their machines came.
func (h *Handler) Ready() int {
	h.ready.mu.Lock()
	defer h.ready.mu.Unlock()
	return len(h.ready.made)
}
