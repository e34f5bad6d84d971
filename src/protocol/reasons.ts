/** Why a period ended: the values of `lingxi_periods.reason` and of the metric `lingxi_logouts_total{reason}`. */
export type LogoutReason = 'logout' | 'kick' | 'timeout' | 'node-lost' | 'reconciled';

export const LOGOUT_REASONS: readonly LogoutReason[] = [
  'logout',
  'kick',
  'timeout',
  'node-lost',
  'reconciled',
];
