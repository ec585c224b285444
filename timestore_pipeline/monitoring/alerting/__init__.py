"""What watches the series: alert rules and a dashboard, rendered from the limits in force. Nothing here runs them."""
