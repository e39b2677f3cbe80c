package consumer

// DoneBeyond tells how many records from a committed offset on are done, by the commit's metadata, for those who look at a
// group from outside. An error says what is wrong with the metadata.
func DoneBeyond(next int64, metadata string) (int64, error) {
	var o Offsets
	if err := o.Start(next, metadata); err != nil {
		return 0, err
	}
	return o.end - next - o.open.count(), nil
}
