package collector

import "math"

// percent returns part of whole with two decimals, which is what such a number is
// worth and what travels in two bytes.
func percent(part, whole float64) float64 {
	return math.Round(min(max(part/whole, 0), 1)*1e4) / 100
}
