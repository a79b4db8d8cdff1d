select set_config('dcm.customer_bpnls', $1, true)
