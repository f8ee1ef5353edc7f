"""Every metric: functions of arrays."""
