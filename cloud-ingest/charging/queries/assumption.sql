SELECT energy_wh, leaves_after_s FROM charging.assumption
