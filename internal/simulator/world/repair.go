package world

// SwapBoard is what a technician does: the power is cut, and the machine stays off with another mainboard, which brings
// its own UUID, serial number and network card. The disks stay.
func (m *Machine) SwapBoard(uuid string) {
	m.power.Lock()
	defer m.power.Unlock()
	m.powerCut()
	m.UUID, m.Serial = uuid, "R"+m.Serial
	m.MAC = "b4:2e:99" + m.MAC[len("90:1b:0e"):]
}
